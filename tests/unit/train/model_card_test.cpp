// Model cards: what they tell, and whose README.md stays.
#include "../../../src/train/model_card.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "support/tiny_model.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;
namespace fs = std::filesystem;

// A teacher in `name`, with other files beside it.
struct Scene {
  TempFolder temp;
  fs::path teacher, folder = temp / "packed";
  explicit Scene(const std::string& name = "teacher",
                 const std::map<std::string, std::string>& files = {})
      : teacher(temp / name) {
    create_folders(teacher);
    create_folders(folder);
    test::write_tiny_llama(teacher, {});
    for (const auto& [file, text] : files) write_file(teacher / file, text);
  }
  std::string text(const std::string& format = "packed") const {
    const HfFolder origin(teacher);
    return model_card_text({.origin = origin}, format);
  }
  void write(int64_t step = 0) const {
    const HfFolder origin(teacher);
    write_model_card(folder, {.origin = origin, .step = step}, "packed");
  }
  std::string card() const { return read_file(folder / "README.md"); }
};

}  // namespace

TEST_CASE("a card tells sizes, scores of its step, settings and how to load") {
  const Scene scene;
  const HfFolder origin(scene.teacher);
  const auto score = [](const char* model, int64_t step, double perplexity) {
    return Json{{"task", "wikitext2"},
                {"model", model},
                {"step", step},
                {"protocol", "p@8"},
                {"perplexity", perplexity}};
  };
  RunOptions options;
  options.quant.init = "joint_itq";
  options.data.train = {{.path = "/home/me/secret/book.txt"}};
  const ModelCard card{
      .origin = origin,
      .settings = {{"quant.bits_per_weight", "0.55"}, {"optim.weight_decay", "0"}},
      .options = &options,
      .step = 20,
      .run = {{"scores",
               {score("teacher", 0, 7.25), score("student", 10, 99), score("student", 20, 9.5)}}},
      .bytes = {{"formula_bits_per_weight", 0.5456},
                {"stored_bits_per_weight", 0.6123},
                {"packed", {{"total", 2048}}},
                {"teacher", {{"total", 8192}}}}};
  const std::string text = model_card_text(card, "packed");
  CHECK(text.starts_with("---\nlibrary_name: littlebit\npipeline_tag: text-generation\ntags:\n"));
  CHECK_THAT(text, Contains("# teacher by LittleBit\n") && Contains("0.5456") &&
                       Contains("0.6123") && Contains("2.00 KiB") && Contains("8.00 KiB"));
  CHECK_THAT(text, Contains("| wikitext2 | p@8") && Contains("7.25") && Contains("9.5"));
  CHECK_THAT(text, !Contains("99"));
  CHECK_THAT(text, Contains("0.55") && Contains("joint_itq") && Contains("book.txt") &&
                       !Contains("secret") && !Contains("weight decay"));
  CHECK_THAT(text, Contains("littlebit-eval generate --model FOLDER") &&
                       Contains("No licence file lies beside the original"));
  const std::string dense = model_card_text(card, "dense");
  CHECK_THAT(dense, Contains("library_name: transformers") && Contains("from_pretrained") &&
                        !Contains("littlebit-eval generate"));
}

TEST_CASE("a card names the base model where its folder tells, and nothing else") {
  CHECK_THAT(Scene().text(), !Contains("base_model"));
  const std::string id = "base_model: HuggingFaceTB/SmolLM2-135M\nbase_model_relation: quantized";
  CHECK_THAT(Scene("models--HuggingFaceTB--SmolLM2-135M/snapshots/abc").text(),
             Contains(id) && Contains("# HuggingFaceTB/SmolLM2-135M by LittleBit"));
  const auto named = [](const std::string& name) {
    const Scene scene;
    Json config = read_json_file(scene.teacher / "config.json");
    config["_name_or_path"] = name;
    write_file(scene.teacher / "config.json", to_json_line(config));
    return scene.text();
  };
  CHECK_THAT(named("HuggingFaceTB/SmolLM2-135M"), Contains(id));
  for (const char* name :
       {"/home/me/model", "../model", "./x", "a/b/c", "model", "a/b: c", "a/b\nx: y"}) {
    CHECK_THAT(named(name), !Contains("base_model"));
  }
}

TEST_CASE("the licence: of the original's card, and its files") {
  const Scene scene("teacher", {{"README.md",
                                 "---\nlanguage: en\nlicense: other\nlicense_name: my-terms\n"
                                 "license_link: https://example.org/a?b=1\n---\nlicense: mit\n"},
                                {"LICENSE", "the terms"},
                                {"NOTICE", "of whom"}});
  CHECK_THAT(scene.text(), Contains("license: other\nlicense_name: my-terms\n"
                                    "license_link: https://example.org/a?b=1\n") &&
                               !Contains("license: mit") &&
                               Contains("LICENSE, NOTICE, copied from it"));
  scene.write();
  CHECK(read_file(scene.folder / "LICENSE") == "the terms");
  CHECK(read_file(scene.folder / "NOTICE") == "of whom");
  for (const char* head : {"license: [mit]", "license: \"mit\"", "license: a: b", "license:"}) {
    CHECK_THAT(Scene("t", {{"README.md", std::string("---\n") + head + "\n---\n"}}).text(),
               !Contains("license:"));
  }
  CHECK_THAT(Scene("t", {{"README.md", "license: mit\n"}}).text(), !Contains("license:"));
}

TEST_CASE("a card is replaced by another; a README.md of a person's stays") {
  const Scene scene;
  scene.write(1);
  const std::string first = scene.card();
  CHECK_THAT(first, Contains("made by littlebit-native"));
  scene.write(0);
  CHECK(scene.card() != first);
  scene.write(1);
  CHECK(scene.card() == first);
  for (const std::string& own :
       {std::string("mine\n"), std::string(), first + "and a word of mine\n", "\n" + first}) {
    write_file(scene.folder / "README.md", own);
    scene.write(1);
    CHECK(scene.card() == own);
  }
}

}  // namespace littlebit
