// Rows of the table: text and ids, for training and for scoring.
#include "integration/wrong_input.h"

namespace littlebit::test {
namespace {

// A row that trains on `content` in the format given.
WrongInput text(std::string what, std::string format, std::string content,
                ExitCode code = ExitCode::kInput) {
  return {std::move(what), code, [=](const Workshop& shop) {
            shop.write("source", content);
            return shop.train({"data.train=[{path: source, format: " + format + "}]"});
          }};
}

WrongInput scored(std::string what, std::string content) {
  return {std::move(what), ExitCode::kInput, [=](const Workshop& shop) {
            shop.write("text.txt", content);
            return shop.score("text.txt");
          }};
}

WrongInput ids(std::string what, std::function<void(const Workshop&)> spoil,
               ExitCode code = ExitCode::kInput) {
  return {std::move(what), code, [spoil = std::move(spoil)](const Workshop& shop) {
            spoil(shop);
            return shop.train_ids();
          }};
}

constexpr char kPiqa[] =
    R"({"goal": "Sit", "sol1": "Take a chair.", "sol2": "Take a pear.", "label": 0}
)";

// A row that scores piqa, whose data is `content` in a file of this name.
WrongInput piqa(std::string what, std::string file, std::string content) {
  return {std::move(what), ExitCode::kInput, [=](const Workshop& shop) {
            shop.write(file, content);
            return shop.eval({"--model", "model", "--tasks", "piqa", "--data-root", "."});
          }};
}

WrongInput tokenized(std::string what, std::string content) {
  return {std::move(what), ExitCode::kInput,
          [=](const Workshop& shop) { return shop.tokenize(content); }};
}

WrongInput forwarded(std::string what, std::string old_text, std::string new_text) {
  return {std::move(what), ExitCode::kInput, [=](const Workshop& shop) {
            shop.replace("ids.safetensors", old_text, new_text);
            return shop.forward();
          }};
}

}  // namespace

WrongInputs wrong_texts() {
  return {
      "Text and ids",
      {
          {"the file does not exist", ExitCode::kInput,
           [](const Workshop& s) { return s.train({"data.train=txet.txt"}); }},
          {"it is a folder", ExitCode::kInput,
           [](const Workshop& s) { return s.train({"data.train=model"}); }},
          {"it is a pipe", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("mkfifo pipe");
             return s.train({"data.train=pipe"});
           }},
          {"it is a device", ExitCode::kInput,
           [](const Workshop& s) { return s.train({"data.train=/dev/zero"}); }},
          text("it is empty", "text", ""),
          text("nothing but white space", "lines", " \n\t\n\n"),
          text("less than a block", "text", "Once upon a time"),
          text("not UTF-8", "text", "Once upon a time there was a caf\xE9.\n"),
          text("UTF-16", "lines", std::string("\xFF\xFEO\0n\0c\0e\0\n\0", 12)),
          text("UTF-16 without a mark", "text",
               std::string("O\0n\0c\0e\0 \0u\0p\0o\0n\0 \0a\0 \0t\0i\0m\0e\0\n\0", 34)),
          text("zstd, though its name does not say so", "text",
               std::string("\x28\xB5\x2F\xFD\0\0", 6)),
          {"zstd, cut", ExitCode::kInput,
           [](const Workshop& s) {
             s.write("text.zst", std::string("\x28\xB5\x2F\xFD\0\0", 6));
             return s.train({"data.train=text.zst"});
           }},
          {"an empty folder", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("mkdir texts");
             return s.train({"data.train=texts"});
           }},
          {"a glob that no file fits", ExitCode::kInput,
           [](const Workshop& s) { return s.train({"data.train=*.jsonl"}); }},
          {"an address", ExitCode::kInput,
           [](const Workshop& s) { return s.train({"data.train=https://x.org/a.txt"}); }},
          {"a Parquet file, cut", ExitCode::kInput,
           [](const Workshop& s) {
             s.write("a.parquet", "PAR1 and so on");
             return s.train({"data.train=a.parquet"});
           }},
          {"records of which none can be read", ExitCode::kInput,
           [](const Workshop& s) {
             s.write("a.jsonl", "{\"body\": \"Once\"}\nupon a time\n");
             return s.train({"data.train=a.jsonl", "data.on_bad_record=skip"});
           }},
          {"a separator that is no text", ExitCode::kUsage,
           [](const Workshop& s) { return s.train({"data.separator="}); }},
          text("a zip archive", "lines", "PK\x03\x04 and so on"),
          text("an Arrow file", "jsonl", std::string("ARROW1\0\0", 8)),
          text("a pointer of Git LFS", "text",
               "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
          text("jsonl: a JSON array", "jsonl",
               "[\n{\"text\": \"Once\"},\n{\"text\": \"upon\"}\n]\n"),
          text("jsonl: an object over several lines", "jsonl", "{\n\"text\": \"Once\"\n}\n"),
          {"gzip, though its name does not say so", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("gzip text.txt; mv text.txt.gz text.GZ");
             return s.train({"data.train=text.GZ"});
           }},
          {"not gzip, though its name says so", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("mv text.txt text.txt.gz");
             return s.train({"data.train=text.txt.gz"});
           }},
          {"gzip, cut", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("gzip text.txt");
             s.write("text.txt.gz", s.read("text.txt.gz").substr(0, 500));
             return s.train({"data.train=text.txt.gz"});
           }},
          {"gzip, a bit wrong", ExitCode::kInput,
           [](const Workshop& s) {
             s.shell("gzip text.txt");
             std::string bytes = s.read("text.txt.gz");
             bytes[400] = static_cast<char>(bytes[400] ^ 1);
             s.write("text.txt.gz", bytes);
             return s.train({"data.train=text.txt.gz"});
           }},
          text("jsonl: a line is no JSON", "jsonl",
               "{\"text\": \"Once upon a time\"}\n{\"text\": \"there\n"),
          text("jsonl: a line is no record", "jsonl", "{\"text\": \"Once\"}\n[1]\n"),
          text("jsonl: a record without the field", "jsonl",
               "{\"content\": \"Once\", \"id\": 1}\n"),
          text("jsonl: the field is no text", "jsonl", "{\"text\": 7}\n"),
          text("a token file that is none", "tokens", "Once upon a time"),
          ids("a token file of floating-point numbers",
              [](const Workshop& s) { s.replace("tokens.safetensors", "I32", "F32"); }),
          ids(
              "a token file with rows of another length",
              [](const Workshop& s) { s.replace("tokens.safetensors", "[12, 16]", "[16, 12]"); },
              ExitCode::kUsage),
          ids("a token file, cut",
              [](const Workshop& s) {
                s.write("tokens.safetensors", s.read("tokens.safetensors").substr(0, 700));
              }),
          ids("an id beyond the model",
              [](const Workshop& s) {
                std::string bytes = s.read("tokens.safetensors");
                bytes[bytes.size() - 40 + 1] = 2;  // 512 and more
                s.write("tokens.safetensors", bytes);
              }),
          {"a text to score that does not exist", ExitCode::kInput,
           [](const Workshop& s) { return s.score("txet.txt"); }},
          scored("a text to score that is empty", ""),
          scored("a text to score shorter than a chunk", "Once"),
          scored("a text to score that is not UTF-8", "Once \xFF upon"),
          {"a task's data is not there", ExitCode::kInput,
           [](const Workshop& s) {
             return s.eval({"--model", "model", "--tasks", "wikitext2", "--data-root", "nowhere"});
           }},
          {"a multiple-choice task's data is not there", ExitCode::kInput,
           [](const Workshop& s) {
             return s.eval({"--model", "model", "--tasks", "piqa", "--data-root", "nowhere"});
           }},
          piqa("a task's record that lacks a field", "piqa.jsonl", "{\"goal\": \"Sit\"}\n"),
          piqa("a task's array that holds no record", "piqa.json", "[3]"),
          piqa("a task's array, cut", "piqa.json", "[{\"goal\": \"Sit\"}"),
          piqa("a task's Parquet file, cut", "piqa.parquet", "PAR1 and so on"),
          {"a task's examples are not there", ExitCode::kInput,
           [](const Workshop& s) {
             s.write("piqa.jsonl", kPiqa);
             return s.eval(
                 {"--model", "model", "--tasks", "piqa", "--data-root", ".", "--num-fewshot", "2"});
           }},
          {"fewer examples than are to be drawn", ExitCode::kInput,
           [](const Workshop& s) {
             s.write("piqa.jsonl", kPiqa);
             s.write("piqa_train.jsonl", kPiqa);
             return s.eval(
                 {"--model", "model", "--tasks", "piqa", "--data-root", ".", "--num-fewshot", "2"});
           }},
          tokenized("strings to tokenize that are no list", "{}"),
          tokenized("a string to tokenize that is a number", "[\"a\", 3]"),
          tokenized("strings to tokenize, cut", "[\"a\", \"b"),
          tokenized("a string to tokenize that is half a surrogate pair", "[\"\\ud800\"]"),
          {"ids for a forward pass that do not exist", ExitCode::kInput,
           [](const Workshop& s) { return s.forward("nowhere.safetensors"); }},
          forwarded("ids under another name", "input_ids", "input_idx"),
          forwarded("ids of another shape", "[1, 8]", "[8]   "),
          forwarded("ids that are floating-point numbers", "I32", "F32"),
          {"an id beyond the model, in a forward pass", ExitCode::kInput,
           [](const Workshop& s) {
             std::string bytes = s.read("ids.safetensors");
             bytes[bytes.size() - 1] = 1;
             s.write("ids.safetensors", bytes);
             return s.forward();
           }},
      }};
}

}  // namespace littlebit::test
