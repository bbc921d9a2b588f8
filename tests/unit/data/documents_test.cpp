// Documents out of text files: the four formats, plain and gzipped, and every kind of file that is
// not what it says.
#include "littlebit/data/documents.h"

#include "unit/data/gzip.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

using Documents = std::vector<std::string>;

Documents read(const std::filesystem::path& path, SourceFormat format,
               const std::string& field = "text") {
  Documents documents;
  SourceOptions source;
  source.path = path;
  source.format = format;
  source.field = field;
  for_each_document(source, [&](std::string_view document) { documents.emplace_back(document); });
  return documents;
}

// The documents of a file with these bytes, read from a plain and from a gzipped file, which must
// agree.
Documents documents_of(const std::string& bytes, SourceFormat format,
                       const std::string& field = "text") {
  const TestFolder folder;
  const Documents plain = read(folder.write("a.txt", bytes), format, field);
  CHECK(read(folder.write("a.txt.gz", gzip(bytes)), format, field) == plain);
  return plain;
}

void refused(const std::string& name, const std::string& bytes, SourceFormat format,
             std::vector<std::string> words) {
  const TestFolder folder;
  const auto path = folder.write(name, bytes);
  words.push_back(path.string());
  expect_input_error(words, [&] { read(path, format); });
}

constexpr SourceFormat kTextFormats[] = {SourceFormat::kText, SourceFormat::kLines,
                                         SourceFormat::kWikitext, SourceFormat::kJsonl};

}  // namespace

TEST_CASE("documents: text is one document, its line ends as Python reads them") {
  CHECK(documents_of("one\ntwo\n\n", SourceFormat::kText) == Documents{"one\ntwo\n\n"});
  CHECK(documents_of("a\r\nb\r\n", SourceFormat::kText) == Documents{"a\nb\n"});
  CHECK(documents_of("a\rb\r\r\nc\n\r", SourceFormat::kText) == Documents{"a\nb\n\nc\n\n"});
  const std::string with_nul("a\0b", 3);
  CHECK(documents_of(with_nul, SourceFormat::kText) == Documents{with_nul});
  CHECK(documents_of("\xEF\xBB\xBFmark", SourceFormat::kText) == Documents{"mark"});
}

TEST_CASE("documents: lines are documents where they are not blank") {
  CHECK(documents_of("one\n\n \t\n\xC2\xA0\n two \nlast", SourceFormat::kLines) ==
        Documents{"one", " two ", "last"});
  CHECK(documents_of("one\r\ntwo\r\n\r\n", SourceFormat::kLines) == Documents{"one", "two"});
  CHECK(documents_of("one\rtwo\r\rthree", SourceFormat::kLines) ==
        Documents{"one", "two", "three"});
  CHECK(documents_of("\xEF\xBB\xBFone\ntwo", SourceFormat::kLines) == Documents{"one", "two"});
  const std::string with_nul("a\0b\nc", 5);
  CHECK(documents_of(with_nul, SourceFormat::kLines) == Documents{std::string("a\0b", 3), "c"});
}

TEST_CASE("documents: jsonl gives a field of each record") {
  CHECK(documents_of("{\"text\": \"a\\nb\", \"id\": 1}\n\n{\"text\": \"\"}\r\n{\"text\": \"c\"}",
                     SourceFormat::kJsonl) == Documents{"a\nb", "", "c"});
  CHECK(documents_of("{\"body\": \"x\"}\n", SourceFormat::kJsonl, "body") == Documents{"x"});
}

TEST_CASE("documents: line ends at the borders of what is inflated at once") {
  // Pieces are 256 KiB: a CR LF and a CR at each place around the first border.
  for (int shift = -2; shift <= 2; ++shift) {
    const std::string first((256 << 10) + shift, 'a');
    CHECK(documents_of(first + "\r\nb\rc", SourceFormat::kLines) == Documents{first, "b", "c"});
  }
  std::string text;  // no LF at all: linear in the text's length
  Documents expected;
  for (int i = 0; i < 200'000; ++i) {
    expected.push_back(std::to_string(i));
    text += expected.back() + "\r";
  }
  CHECK((documents_of(text, SourceFormat::kLines) == expected));
}

TEST_CASE("documents: escapes in JSON strings stay, whatever ends the lines") {
  CHECK(documents_of("{\"text\": \"a\\r\\nb\"}\r\n{\"text\": \"c\\rd\"}\r", SourceFormat::kJsonl) ==
        Documents{"a\r\nb", "c\rd"});
}

TEST_CASE("documents: bytes that are text in another encoding are told, text never is") {
  const auto wide = [](const std::u16string& text, bool big) {
    std::string bytes;
    for (const char16_t unit : text) {
      const char low = static_cast<char>(unit & 0xFF), high = static_cast<char>(unit >> 8);
      bytes += big ? std::string{high, low} : std::string{low, high};
    }
    return bytes;
  };
  // Latin; Cyrillic and Greek, whose UTF-16 may be valid UTF-8.
  for (const std::u16string text :
       {u"Once upon a time\n",
        u"\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440. \u041a\u0430\u043a\n",
        u"\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5\n"}) {
    refused("a.txt", wide(text, false), SourceFormat::kText, {"UTF-16LE"});
    refused("a.txt", wide(text, true), SourceFormat::kLines, {"UTF-16BE"});
    refused("a.gz", gzip(wide(text, true)), SourceFormat::kLines, {"UTF-16BE"});
  }
  for (const std::string text : {"1\n2\n3\n4\n5\n6\n", "a\tb\tc\td\te\n", "\n\n\n\na\n\n\n\n\n"}) {
    CHECK(documents_of(text, SourceFormat::kText) == Documents{text});
  }
}

TEST_CASE("documents: wikitext rows are joined as the spec says") {
  // As wiki.test.raw begins: blank lines are " \n", a heading, a long line.
  const std::string file = " \n = Robert = \n \n Robert is an actor . \n";
  const std::string joined = "\n\n = Robert = \n\n\n\n\n Robert is an actor . \n";
  CHECK(join_wikitext_rows(file) == joined);
  CHECK(documents_of(file, SourceFormat::kWikitext) == Documents{joined});
  CHECK(join_wikitext_rows("") == "");
  CHECK(join_wikitext_rows("a") == "a");
  CHECK(join_wikitext_rows("a\nb") == "a\n\n\nb");
  CHECK(join_wikitext_rows("a\n\n") == "a\n\n\n");
  CHECK(join_wikitext_rows("a \r\n\r\nb\r\n") == "a \r\n\n\n\n\nb\r\n");
  CHECK(join_wikitext_rows("a\n\xE3\x80\x80\nb") == "a\n\n\n\n\nb");  // an ideographic space
}

TEST_CASE("documents: missing files and folders are input errors") {
  const TestFolder folder;
  for (const SourceFormat format : kTextFormats) {
    expect_input_error({"none.txt"}, [&] { read(folder / "none.txt", format); });
    expect_input_error({"folder"}, [&] { read(folder.path(), format); });
  }
}

TEST_CASE("documents: files without text are refused") {
  for (const SourceFormat format : kTextFormats) {
    refused("a.txt", "", format, {"empty"});
    refused("a.txt", " \n\t\r\n\xE2\x80\x83\n", format, {"nothing but white space"});
    refused("a.gz", gzip(""), format, {"nothing but white space"});
    refused("a.gz", "", format, {"empty"});
  }
  refused("a.jsonl", "{\"text\": \" \"}\n{\"text\": \"\"}\n", SourceFormat::kJsonl,
          {"nothing but white space"});
}

TEST_CASE("documents: what is not UTF-8 is refused with its offset") {
  for (const SourceFormat format :
       {SourceFormat::kText, SourceFormat::kLines, SourceFormat::kWikitext}) {
    refused("a.txt", "good\nbad \xFF here\n", format, {"UTF-8", "byte 9"});
    refused("a.txt.gz", gzip("good\nbad \xFF here\n"), format, {"UTF-8", "byte 9", "uncompressed"});
    refused("a.txt",
            "\xEF\xBB\xBF"
            "ab\xC3",
            format, {"UTF-8", "byte 5"});
  }
  refused("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xFF\"}\n", SourceFormat::kJsonl,
          {"UTF-8", "byte 24"});
}

TEST_CASE("documents: a bad jsonl record is named by its line") {
  const auto bad_third = [](const std::string& line) {
    return "{\"text\": \"a\"}\n\n" + line + "\n{\"text\": \"b\"}\n";
  };
  refused("a.jsonl", bad_third("{\"text\": \"cut"), SourceFormat::kJsonl,
          {":3:", "not valid JSON"});
  refused("a.jsonl", bad_third("[1]"), SourceFormat::kJsonl, {":3:", "object"});
  refused("a.jsonl", bad_third("{\"txt\": \"c\"}"), SourceFormat::kJsonl, {":3:", "\"text\""});
  refused("a.jsonl", bad_third("{\"text\": 7}"), SourceFormat::kJsonl,
          {":3:", "\"text\"", "string"});
  refused("a.jsonl", bad_third("{\"text\": null}"), SourceFormat::kJsonl,
          {":3:", "\"text\" is null"});
  refused("a.jsonl", bad_third("plain text"), SourceFormat::kJsonl, {":3:"});
  const TestFolder folder;
  const auto path = folder.write("a.jsonl", "{\"body\": \"c\"}\n");
  try {
    read(path, SourceFormat::kJsonl);
    FAIL("no error was thrown");
  } catch (const InputError& error) {
    CHECK(error.hint().find("body") != std::string::npos);
  }
}

TEST_CASE("documents: gzip files of several members and with padding are read") {
  const TestFolder folder;
  const std::string bytes =
      gzip("one\ntw") + gzip("") + gzip("o\nthree\n") + std::string(512, '\0');
  CHECK(read(folder.write("a.gz", bytes), SourceFormat::kLines) ==
        Documents{"one", "two", "three"});
  CHECK(read(folder.write("a.gz", bytes), SourceFormat::kText) == Documents{"one\ntwo\nthree\n"});
}

TEST_CASE("documents: gzip lines longer than the pieces they are read in") {
  std::string text;
  Documents expected;
  for (int i = 0; i < 40; ++i) {
    std::string line(size_t(1) << (i % 20), char('a' + i % 26));
    line += std::to_string(i);
    text += line + "\n";
    expected.push_back(line);
  }
  CHECK(documents_of(text, SourceFormat::kLines) == expected);
}

TEST_CASE("documents: truncated and damaged gzip files are refused") {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i * 7919 % 5003) + "\n";
  const std::string whole = gzip(text);
  for (const SourceFormat format : {SourceFormat::kText, SourceFormat::kLines}) {
    for (const size_t length : {size_t(2), size_t(10), whole.size() / 2, whole.size() - 1}) {
      refused("a.gz", whole.substr(0, length), format,
              {"truncated", "byte " + std::to_string(length)});
    }
    std::string flipped = whole;
    flipped[whole.size() - 8] ^= 1;  // of the checksum
    refused("a.gz", flipped, format, {"damaged", "incorrect data check"});
    refused("a.gz", whole + "tail", format, {"damaged", "something else"});
    refused("a.gz", text, format, {"not gzip"});
  }
}
