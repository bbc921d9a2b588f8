// The bundle's launcher (apps/launcher.sh) with made folders: a program that prints what it was
// started with, and LibTorch folders that hold a version only.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "support/paths.h"
#include "temp_folder.h"

using namespace littlebit;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

struct Bundle {
  TempFolder temp;
  fs::path root = temp.path() / "b\xC3\xA9 x", home = temp.path() / "home";

  Bundle() {
    fs::create_directories(root / "bin");
    fs::create_directories(root / "libexec");
    fs::create_directories(home);
    std::string launcher = read_file(fs::path(test::kSourceDir) / "apps" / "launcher.sh");
    const std::string mark = "@LIBTORCH_VERSION@";
    launcher.replace(launcher.find(mark), mark.size(), "2.11.0");
    script(root / "bin" / "littlebit-eval", launcher);
    script(root / "libexec" / "littlebit-eval",
           "#!/bin/sh\necho \"started $0 path=$LD_LIBRARY_PATH wait=$OMP_WAIT_POLICY "
           "words=$#:$1\"\n");
  }
  static void script(const fs::path& file, const std::string& text) {
    write_file(file, text);
    fs::permissions(file, fs::perms::owner_all);
  }
  // A LibTorch of `version` in `folder`.
  static fs::path libtorch(const fs::path& folder, const std::string& version) {
    fs::create_directories(folder / "lib");
    write_file(folder / "lib" / "libtorch_cpu.so", "");
    write_file(folder / "version.py", "__version__ = '" + version + "'\n");
    return folder;
  }
  // The output of a command line in a clean environment, and "rc=N".
  std::string run(const std::string& environment, const std::string& command) const {
    const fs::path out = temp.path() / "out";
    const std::string line = "cd / && env -i " + environment + " sh -c '" + command + "' >'" +
                             out.string() + "' 2>&1; echo rc=$? >>'" + out.string() + "'";
    REQUIRE(std::system(line.c_str()) == 0);
    return read_file(out);
  }
  std::string program() const { return "\"" + (root / "bin" / "littlebit-eval").string() + "\""; }
};

const std::string kPath = "PATH=/usr/bin:/bin ";

}  // namespace

TEST_CASE("the launcher finds LibTorch where it is named, fetched or installed, in this order") {
  const Bundle bundle;
  const fs::path& temp = bundle.temp.path();
  const std::string home = kPath + "HOME=" + bundle.home.string() + " ";
  const fs::path cached = Bundle::libtorch(
      bundle.home / ".cache" / "littlebit" / "libtorch-2.11.0" / "torch", "2.11.0");
  CHECK_THAT(bundle.run(home, bundle.program() + " \"two words\""),
             Contains("libexec/littlebit-eval path=" + cached.string() + "/lib wait=passive") &&
                 Contains("words=1:two words") && Contains("rc=0"));
  // As another user's program through a link, found by the path.
  fs::create_directories(temp / "links");
  fs::create_symlink(bundle.root / "bin" / "littlebit-eval", temp / "links" / "mine");
  CHECK_THAT(bundle.run(home + "PATH=" + (temp / "links").string() + ":/usr/bin:/bin", "mine"),
             Contains("path=" + cached.string() + "/lib"));

  const fs::path named = Bundle::libtorch(temp / "named one", "2.11.0");
  CHECK_THAT(bundle.run(home + "LIBTORCH=\"" + named.string() + "\"", bundle.program()),
             Contains("path=" + named.string() + "/lib"));

  // A virtual environment without a home folder; NVIDIA's libraries beside it.
  const fs::path packages = temp / "venv" / "lib" / "python3.12" / "site-packages";
  Bundle::libtorch(packages / "torch", "2.11.0+cu130");
  fs::create_directories(packages / "nvidia" / "cu13" / "lib");
  for (const char* name : {"libcudart.so.13", "libcupti.so.13"}) {
    write_file(packages / "nvidia" / "cu13" / "lib" / name, "");
  }
  fs::create_directories(temp / "venv" / "bin");
  Bundle::script(temp / "venv" / "bin" / "python3", "#!/bin/sh\nexit 9\n");
  const std::string venv = "PATH=" + (temp / "venv" / "bin").string() + ":/usr/bin:/bin ";
  CHECK_THAT(bundle.run(venv + "LD_LIBRARY_PATH=/own", bundle.program()),
             Contains("path=" + (packages / "torch" / "lib").string() + ":" +
                      (packages / "nvidia" / "cu13" / "lib").string() + ":/own"));
  CHECK_THAT(bundle.run(venv + "GOMP_SPINCOUNT=5", bundle.program()), Contains("wait= "));
}

TEST_CASE("the launcher says what is missing, and refuses another version by name") {
  const Bundle bundle;
  const fs::path& temp = bundle.temp.path();
  fs::create_directories(temp / "empty" / "bin");
  for (const char* tool : {"sh", "env", "readlink", "sed", "head", "pwd"}) {
    fs::create_symlink(fs::path("/usr/bin") / tool, temp / "empty" / "bin" / tool);
  }
  const std::string bare = "PATH=" + (temp / "empty" / "bin").string() + " ";
  CHECK_THAT(bundle.run(bare, bundle.program()),
             Contains("no LibTorch 2.11.0 was found") && Contains("hint: ") && Contains("rc=2"));
  const fs::path old = Bundle::libtorch(temp / "old", "2.10.0+cu128");
  CHECK_THAT(bundle.run(bare + "LIBTORCH=" + old.string(), bundle.program()),
             Contains("2.10.0+cu128") && Contains("needs 2.11.0") && Contains("rc=2"));
  const fs::path longer = Bundle::libtorch(temp / "longer", "2.11.01");
  CHECK_THAT(bundle.run(bare + "LIBTORCH=" + longer.string(), bundle.program()), Contains("rc=2"));
  CHECK_THAT(bundle.run(bare + "LIBTORCH=/nowhere", bundle.program()),
             Contains("holds no lib/libtorch_cpu.so") && Contains("rc=2"));
  // One in python3's packages of another version is named.
  Bundle::libtorch(temp / "empty" / "lib" / "python3.11" / "site-packages" / "torch", "2.9.1");
  Bundle::script(temp / "empty" / "bin" / "python3", "#!/bin/sh\nexit 9\n");
  CHECK_THAT(bundle.run(bare, bundle.program()), Contains("is 2.9.1") && Contains("rc=2"));
  fs::remove(bundle.root / "libexec" / "littlebit-eval");
  CHECK_THAT(bundle.run(bare, bundle.program()), Contains("is missing") && Contains("rc=2"));
}
