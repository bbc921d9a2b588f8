// The table of what can be wrong with a program's input: each row makes the wrong thing from small
// good ones in a workshop of its own, runs a program on it as a user would, and says which exit
// code it must end with. wrong_input_test.cpp checks the rest, which is the same for every row, and
// holds docs/errors.md to what was seen.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "integration/program.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"

namespace littlebit::test {

// A folder to run a program in, with
//   model/            a Llama of 512 ids, with the tokenizer of tests/golden/stories260k
//   text.txt          some English, enough for a few blocks
//   tokens.safetensors, ids.safetensors   input_ids [12, 16] and [1, 8]
class Workshop {
 public:
  Workshop();

  std::filesystem::path operator/(const std::string& name) const { return temp_ / name; }
  std::string read(const std::string& name) const { return read_file(temp_ / name); }
  void write(const std::string& name, std::string_view bytes) const;  // plainly, over what is there
  void write_ids(const std::string& name, int64_t rows, int64_t length) const;
  void replace(const std::string& name, const std::string& old_text,
               const std::string& new_text) const;  // throws where old_text is not there
  void remove(const std::string& name) const;
  void copy(const std::string& from, const std::string& to) const;  // a file or a whole folder
  void shell(const std::string& command) const;  // in the workshop; throws where it fails

  // The tensors of model/model.safetensors may be changed before they are written again.
  struct Tensor {
    std::string name, dtype = "F32";
    std::vector<int64_t> shape;
    std::string bytes;
  };
  void change_tensors(const std::function<void(std::vector<Tensor>&)>& change) const;
  // model.safetensors divided in two shards with their index, as {"weight_map": {...}}.
  void shard() const;

  // littlebit-train with the options of a good run of two steps into out/, these words behind them.
  Outcome train(const std::vector<std::string>& words = {}, const std::string& prefix = "") const;
  // The same with the ids of tokens.safetensors for training: no tokenizer is asked.
  Outcome train_ids(std::vector<std::string> words = {}, const std::string& prefix = "") const;
  Outcome eval(const std::vector<std::string>& arguments, const std::string& prefix = "") const;
  Outcome score(const std::string& text) const;                       // littlebit-eval --text
  Outcome forward(const std::string& ids = "ids.safetensors") const;  // into logits.safetensors
  Outcome tokenize(const std::string& strings) const;                 // the file's content

  // Content of every regular file by its path in the workshop; as it was when a program was last
  // started here.
  using Files = std::map<std::string, std::string>;
  Files files() const;
  const Files& files_before() const { return before_; }

 private:
  Outcome run(const std::string& program, const std::vector<std::string>& arguments,
              const std::string& prefix) const;
  TempFolder temp_;
  mutable Files before_;
};

struct WrongInput {
  std::string what;  // the row's name: "the header is cut"
  ExitCode code;
  std::function<Outcome(const Workshop&)> run;
  // What the run may leave: nothing but log.txt, or a run's folder that can be gone on with.
  enum class Leaves { kNothing, kRun } leaves = Leaves::kNothing;
};

struct WrongInputs {
  std::string title;
  std::vector<WrongInput> rows;
};

WrongInputs wrong_model_folders();
WrongInputs wrong_tensors();
WrongInputs wrong_tokenizers();
WrongInputs wrong_texts();
WrongInputs wrong_options();
WrongInputs wrong_outputs();
WrongInputs wrong_resumes();
WrongInputs odd_but_right();  // exit code 0

}  // namespace littlebit::test
