// safetensors: files built byte by byte here, well-formed and malformed in every way the header can
// lie, and what the writer makes of a declaration.
#include "littlebit/io/safetensors.h"

#include <cstring>
#include <numeric>
#include <string>

#include "littlebit/core/fault_hook.h"
#include "littlebit/io/safetensors_writer.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

std::string length_of(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string file_bytes(const std::string& header, size_t data_bytes) {
  std::string data(data_bytes, '\0');
  std::iota(data.begin(), data.end(), '\1');
  return length_of(header.size()) + header + data;
}

// A file of this header and so many bytes of data must be refused with all `words` in the message.
void refused(const std::string& header, size_t data_bytes, std::vector<std::string> words) {
  const TestFolder folder;
  const auto file = folder.write("bad.safetensors", file_bytes(header, data_bytes));
  INFO("header: " << header.substr(0, 300));
  words.push_back("bad.safetensors");
  expect_input_error(words, [&] { SafetensorsFile{file}; });
}

void refused_bytes(const std::string& bytes, std::vector<std::string> words) {
  const TestFolder folder;
  const auto file = folder.write("bad.safetensors", bytes);
  words.push_back("bad.safetensors");
  expect_input_error(words, [&] { SafetensorsFile{file}; });
}

// {"a": {"dtype": ..., "shape": ..., "data_offsets": ...}}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

}  // namespace

TEST_CASE("safetensors: a file written by hand is read") {
  const TestFolder folder;
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("second":{"dtype":"U8","shape":[],"data_offsets":[12,13]},)"
                             R"("first":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
                             R"("none":{"shape":[0,5],"data_offsets":[13,13],"dtype":"F32"}}   )";
  const SafetensorsFile file(folder.write("a.safetensors", file_bytes(header, 13)));
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "first");
  CHECK(file.tensors()[1].name == "second");
  CHECK(file.tensors()[2].name == "none");
  const TensorView& first = *file.find("first");
  CHECK(first.dtype == Dtype::kBF16);
  CHECK(first.shape == std::vector<int64_t>{2, 3});
  CHECK(first.numel() == 6);
  REQUIRE(first.data.size() == 12);
  CHECK(first.data[0] == std::byte{1});
  CHECK(first.data[11] == std::byte{12});
  CHECK(file.find("second")->numel() == 1);
  CHECK(file.find("second")->data[0] == std::byte{13});
  CHECK(file.find("none")->numel() == 0);
  CHECK(file.find("third") == nullptr);
  CHECK(file.metadata().at("format") == "pt");
}

TEST_CASE("safetensors: every dtype has its name and size") {
  const TestFolder folder;
  const std::vector<std::pair<std::string, size_t>> dtypes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"I16", 2},  {"U16", 2}, {"I32", 4}, {"U32", 4},
      {"I64", 8},  {"U64", 8}, {"F16", 2}, {"BF16", 2}, {"F32", 4}, {"F64", 8}};
  for (const auto& [name, size] : dtypes) {
    const std::string header = one(name, "[3]", "[0," + std::to_string(3 * size) + "]");
    const SafetensorsFile file(folder.write("a.safetensors", file_bytes(header, 3 * size)));
    CHECK(dtype_name(file.tensors()[0].dtype) == name);
    CHECK(dtype_size(file.tensors()[0].dtype) == size);
  }
  // Others are kept by name; who asks for one looks at that.
  for (const char* name : {"F8_E4M3", "F4", "C64", "f32"}) {
    const SafetensorsFile file(
        folder.write("a.safetensors", file_bytes(one(name, "[3]", "[0,7]"), 7)));
    CHECK(file.tensors()[0].dtype == Dtype::kOther);
    CHECK(file.tensors()[0].dtype_text() == name);
    CHECK(file.tensors()[0].data.size() == 7);
    CHECK_FALSE(is_floating(file.tensors()[0].dtype));
  }
  refused(one("F8_E4M3", "[3]", "[2,1]"), 3, {"F8_E4M3", "\"a\""});
}

TEST_CASE("safetensors: a file without tensors is read") {
  const TestFolder folder;
  CHECK(SafetensorsFile(folder.write("a.safetensors", file_bytes("{}", 0))).tensors().empty());
  const std::string null_metadata = R"({"__metadata__":null})";
  CHECK(SafetensorsFile(folder.write("b.safetensors", file_bytes(null_metadata, 0)))
            .metadata()
            .empty());
}

TEST_CASE("safetensors: the header's length is checked") {
  refused_bytes("", {"0 bytes"});
  refused_bytes("1234567", {"7 bytes"});
  refused_bytes(length_of(0), {"does not begin with '{'"});
  refused_bytes(length_of(100) + "{}", {"truncated", "108 bytes", "has 10"});
  refused_bytes(length_of(100'000'001) + "{}", {"100000001", "at most 100000000"});
  refused_bytes(length_of(UINT64_MAX) + "{}", {"18446744073709551615"});
  refused_bytes(length_of(3) + " {}", {"does not begin with '{'"});
  refused_bytes(length_of(2) + "[]", {"does not begin with '{'"});
  refused_bytes("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", {"Git LFS"});
}

TEST_CASE("safetensors: the header must be strict JSON") {
  refused("{\"a\"", 0, {"(header):1:", "not valid JSON"});
  refused("{}x", 0, {"(header):1:3:"});
  refused("{\"\xFF\":1}", 0, {"UTF-8"});
  refused(std::string("{}\0", 3), 0, {"NUL"});
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
          R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          2, {"\"a\"", "twice"});
}

TEST_CASE("safetensors: an entry must be whole and of the right types") {
  refused(R"({"a":7})", 0, {"tensor \"a\"", "object"});
  refused(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, {"\"dtype\""});
  refused(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, {"\"shape\""});
  refused(R"({"a":{"dtype":"U8","shape":[1]}})", 1, {"\"data_offsets\""});
  refused(R"({"a":{"dtype":3,"shape":[1],"data_offsets":[0,1]}})", 1, {"\"dtype\"", "string"});
  refused(one("U8", "1", "[0,1]"), 1, {"\"shape\"", "list"});
  refused(one("U8", "[1.0]", "[0,1]"), 1, {"dimension", "1.0"});
  refused(one("U8", "[\"1\"]", "[0,1]"), 1, {"dimension"});
  refused(one("U8", "[-1]", "[0,1]"), 1, {"dimension", "-1"});
  refused(one("U8", "[-1,-1]", "[0,1]"), 1, {"dimension", "-1"});
  refused(one("U8", "[1]", "[0]"), 1, {"[begin, end]"});
  refused(one("U8", "[1]", "[0,1,2]"), 1, {"[begin, end]"});
  refused(one("U8", "[1]", "[-1,0]"), 1, {"data_offsets"});
  refused(one("U8", "[1]", "\"01\""), 1, {"[begin, end]"});
  refused(R"({"__metadata__":{"format":1}})", 0, {"__metadata__", "format", "string"});
  refused(R"({"__metadata__":[]})", 0, {"__metadata__", "object"});
}

TEST_CASE("safetensors: huge shapes do not overflow") {
  refused(one("F32", "[9223372036854775808]", "[0,4]"), 4, {"dimension", "2^63 - 1"});
  refused(one("F32", "[9223372036854775807]", "[0,4]"), 4, {"2^63"});
  refused(one("F32", "[4294967296,4294967296]", "[0,0]"), 0, {"2^63"});  // the product wraps to 0
  refused(one("U8", "[0,4294967296,4294967296]", "[0,0]"), 0, {"2^63"});
  refused(one("F64", "[1152921504606846975]", "[0,9223372036854775800]"), 8, {"truncated"});
}

TEST_CASE("safetensors: spans must fit the shape and tile the data") {
  refused(one("F32", "[2]", "[0,4]"), 4, {"\"a\"", "F32 [2]", "8 bytes"});
  refused(one("U8", "[2]", "[2,0]"), 2, {"\"a\"", "[2,0]"});
  refused(one("U8", "[2]", "[1,3]"), 3, {"\"a\"", "gap"});
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  refused(two("[0,4]", "[0,4]"), 4, {"\"b\"", "overlaps"});
  refused(two("[0,4]", "[3,7]"), 7, {"\"b\"", "overlaps", "\"a\" ends"});
  refused(two("[0,4]", "[5,9]"), 9, {"\"b\"", "gap", "\"a\" ends"});
  refused(two("[0,4]", "[4,8]"), 9, {"1 bytes after the last tensor"});
  const std::string good = two("[0,4]", "[4,8]");
  refused(good, 5,
          {"truncated", std::to_string(8 + good.size() + 8) + " bytes",
           "has " + std::to_string(8 + good.size() + 5)});
}

TEST_CASE("safetensors: missing files and folders are input errors") {
  const TestFolder folder;
  expect_input_error({"none.safetensors"}, [&] { SafetensorsFile{folder / "none.safetensors"}; });
  expect_input_error({folder.path().string()}, [&] { SafetensorsFile{folder.path()}; });
}

TEST_CASE("safetensors: what is written is read back, aligned and in order") {
  const TestFolder folder;
  const auto path = folder / "out.safetensors";
  const std::vector<float> zs = {1.5f, -2.0f, 0.0f, 8.0f, 3.0f, 4.0f};
  const std::vector<int64_t> as = {7, -7};
  SafetensorsWriter writer(path);
  writer.set_metadata({{"format", "pt"}, {"quote\"", "a\nb"}});
  writer.declare("z", Dtype::kF32, {2, 3});
  writer.declare("a.\xC3\xA9", Dtype::kI64, {2});
  writer.declare("scalar", Dtype::kU8, {});
  writer.declare("empty", Dtype::kF32, {0, 4});
  std::string all(reinterpret_cast<const char*>(zs.data()), 24);
  all += std::string(reinterpret_cast<const char*>(as.data()), 16) + "\x2A";
  for (size_t at = 0; at < all.size(); at += 10) {  // parts that cross tensors
    writer.write(std::as_bytes(std::span(all).subspan(at, std::min<size_t>(10, all.size() - at))));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  writer.commit();
  CHECK(writer.header_bytes() % 64 == 0);
  CHECK(std::filesystem::file_size(path) == writer.header_bytes() + 41);

  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors()[0].name == "z");
  CHECK(file.tensors()[0].shape == std::vector<int64_t>{2, 3});
  CHECK(std::memcmp(file.find("z")->data.data(), zs.data(), 24) == 0);
  CHECK(std::memcmp(file.find("a.\xC3\xA9")->data.data(), as.data(), 16) == 0);
  CHECK(file.find("scalar")->data[0] == std::byte{0x2A});
  CHECK(file.find("empty")->shape == std::vector<int64_t>{0, 4});
  CHECK(file.metadata() ==
        std::map<std::string, std::string>{{"format", "pt"}, {"quote\"", "a\nb"}});
}

TEST_CASE("safetensors: a writer without data still writes a file") {
  const TestFolder folder;
  SafetensorsWriter writer(folder / "out.safetensors");
  writer.commit();
  CHECK(SafetensorsFile(folder / "out.safetensors").tensors().empty());
}

TEST_CASE("safetensors: a writer that fails or is dropped leaves nothing") {
  const TestFolder folder;
  const auto path = folder / "out.safetensors";
  {
    SafetensorsWriter writer(path);
    writer.declare("a", Dtype::kU8, {4});
    writer.write(std::as_bytes(std::span("abc", 3)));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
  set_fault_hook([](std::string_view operation, const std::filesystem::path&) {
    return operation == "write" ? ENOSPC : 0;
  });
  expect_error(ExitCode::kOutput, {"out.safetensors"}, [&] {
    SafetensorsWriter writer(path);
    writer.declare("a", Dtype::kU8, {4});
    writer.write(std::as_bytes(std::span("abcd", 4)));
    writer.commit();
  });
  set_fault_hook(nullptr);
  CHECK(std::filesystem::is_empty(folder.path()));
}
