#include "server/arguments/arg_reader.h"

#include <limits>
#include <string>

#include <catch2/catch.hpp>

#include "base/ascii.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string_view>;
using sluice::Code;
using sluice::Status;

std::vector<RequestArg> Args(const Words& words) {
  std::vector<RequestArg> args;
  for (const std::string_view word : words) {
    args.push_back({.text = word, .blob = {}});
  }
  return args;
}

TEST_CASE("integers are read by Redis's rule", "[arg-reader]") {
  struct Row {
    std::string_view text;
    std::int64_t value;
  };
  constexpr Row kGood[] = {{"0", 0},
                           {"7", 7},
                           {"-1", -1},
                           {"1048576", 1048576},
                           {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
                           {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()}};
  for (const Row& row : kGood) {
    CAPTURE(row.text);
    std::int64_t value = 42;
    CHECK(ParseInteger(row.text, value));
    CHECK(value == row.value);
  }
  for (const std::string_view text :
       {"", "-", "+1", "01", "-01", "-0", "00", " 1", "1 ", "1.0", "0x4", "1e3", "abc", "--1",
        "9223372036854775808", "-9223372036854775809", "99999999999999999999"}) {
    CAPTURE(text);
    std::int64_t value = 0;
    CHECK_FALSE(ParseInteger(text, value));
  }
  std::int64_t value = 0;
  CHECK_FALSE(ParseInteger(std::string_view("1\0", 2), value));
}

TEST_CASE("ASCII case does not matter, other bytes do", "[arg-reader]") {
  CHECK(EqualsIgnoreCase("", ""));
  CHECK(EqualsIgnoreCase("aZ09_", "Az09_"));
  CHECK_FALSE(EqualsIgnoreCase("a", "ab"));
  CHECK_FALSE(EqualsIgnoreCase("@", "`"));        // 0x40, 0x60: they differ by the case bit
  CHECK_FALSE(EqualsIgnoreCase("\xC0", "\xE0"));  // so do these
}

TEST_CASE("arguments are read in order, and peeking does not consume", "[arg-reader]") {
  const auto args = Args({"one", "OPTION", "7", "three"});
  ArgReader reader(args);
  CHECK(reader.Left() == 4);
  CHECK(reader.Peek() == "one");
  CHECK(reader.Word("a") == "one");
  CHECK_FALSE(reader.Option("nope"));
  CHECK(reader.Option("option"));
  CHECK(reader.Integer({.min = 7, .max = 7}) == 7);
  CHECK(reader.HasMore());
  CHECK(reader.Take("c").text == "three");
  CHECK_FALSE(reader.HasMore());
  CHECK(reader.Peek().empty());
  CHECK_FALSE(reader.Option(""));
  CHECK(reader.Finish().ok());
}

TEST_CASE("the first failure persists, and later reads are empty", "[arg-reader]") {
  const auto args = Args({"abc", "1", "KEYS", "rest"});
  ArgReader reader(args);
  CHECK(reader.Integer() == 0);
  CHECK_FALSE(reader.ok());
  CHECK_FALSE(reader.HasMore());
  CHECK(reader.Left() == 0);
  CHECK(reader.Integer() == 0);
  CHECK(reader.Word("w").empty());
  CHECK(reader.Take("t").text.empty());
  CHECK(reader.Name("n").empty());
  CHECK_FALSE(reader.Option("1"));
  CHECK(reader.Remaining().empty());
  Words items = {"left over"};
  reader.List("items", items);
  CHECK(items.empty());
  std::vector<std::int64_t> ints = {1};
  reader.PackedInts("ints", ints);
  CHECK(ints.empty());
  reader.Fail(Status(Code::kShape, "a later one"));
  reader.Unexpected();
  const Status status = reader.Finish();
  CHECK(status.GetCode() == Code::kError);
  CHECK(status.Message() == "value is not an integer or out of range");
}

TEST_CASE("missing, wrong and surplus arguments are named", "[arg-reader]") {
  const auto message = [](const Words& words, const auto& read) {
    const auto args = Args(words);
    ArgReader reader(args);
    read(reader);
    return reader.Finish().Message();
  };
  CHECK(message({}, [](ArgReader& r) { r.Word("the key"); }) == "syntax error: the key is missing");
  CHECK(message({}, [](ArgReader& r) { r.Take("the blob"); }) ==
        "syntax error: the blob is missing");
  CHECK(message({}, [](ArgReader& r) { r.Integer(); }) == "syntax error: a number is missing");
  CHECK(message({"x"}, [](ArgReader&) {}) == "syntax error near 'x'");
  CHECK(message({"fo\no"}, [](ArgReader& r) { r.Unexpected(); }) == "syntax error near 'fo\\x0ao'");
  CHECK(message({"11"}, [](ArgReader& r) { r.Integer({.min = 0, .max = 10}); }) ==
        "value is not an integer or out of range");
  CHECK(message({"-1"}, [](ArgReader& r) { r.Integer({.min = 0}); }) ==
        "value is not an integer or out of range");
  CHECK(message({}, [](ArgReader& r) { r.Number("COUNT"); }) ==
        "syntax error: expected a number after COUNT");
  CHECK(message({"11"}, [](ArgReader& r) { r.Number("COUNT", {.min = 1, .max = 10}); }) ==
        "COUNT: expected an integer from 1 to 10, got '11'");
  CHECK(message({}, [](ArgReader& r) {
          std::vector<std::int64_t> ints;
          r.PackedInts("ROWS", ints);
        }) == "syntax error: expected packed int64 after ROWS");
  CHECK(message({""}, [](ArgReader& r) { r.Name("partition"); }) == "partition name is empty");
  CHECK(message({"a\tb"}, [](ArgReader& r) { r.Name("key"); }) ==
        "key 'a\\x09b' has a control character");
  CHECK(message({"x", "y"}, [](ArgReader& r) { CHECK(r.Remaining().size() == 2); }).empty());
}

TEST_CASE("a surplus argument of a command of Redis is an error with the text of Redis",
          "[arg-reader]") {
  const Words words = {"x"};
  const auto args = Args(words);
  CHECK(ArgReader(args, true).Finish().Message() == "syntax error");
}

struct Listed {
  Words items;
  Status status;
  std::size_t left = 0;
};
Listed ReadList(const Words& words) {
  const auto args = Args(words);
  ArgReader reader(args);
  Listed out;
  out.items = {"from before"};
  reader.List("KEYS", out.items);
  out.left = reader.Remaining().size();
  out.status = reader.Finish();
  return out;
}

TEST_CASE("a list is a count with its items, or lines", "[arg-reader]") {
  CHECK(ReadList({"2", "a", "b"}).items == Words{"a", "b"});
  CHECK(ReadList({"1", "a", "FIELDS"}).left == 1);
  CHECK(ReadList({"1", "LINES"}).items == Words{"LINES"});
  CHECK(ReadList({"1", ""}).items == Words{""});  // the caller decides which items are valid
  CHECK(ReadList({"LINES", "a\nb"}).items == Words{"a", "b"});
  CHECK(ReadList({"lines", "a\nb\n", "FIELDS"}).items == Words{"a", "b"});
  CHECK(ReadList({"lines", "a\nb\n", "FIELDS"}).left == 1);
  CHECK(ReadList({"LINES", "a\r\nb"}).items == Words{"a\r", "b"});
  const std::string_view with_nul("a\0\n\n", 3);
  CHECK(ReadList({"LINES", with_nul}).items == Words{std::string_view("a\0", 2)});
}

TEST_CASE("an incomplete list is refused", "[arg-reader]") {
  const auto error = [](const Words& words) {
    const Listed listed = ReadList(words);
    CHECK((listed.status.ok() || listed.status.GetCode() == Code::kError));
    return listed.status.Message();
  };
  CHECK(error({}) == "syntax error: expected a list after KEYS");
  CHECK(error({"LINES"}) == "syntax error: expected the items after LINES");
  for (const std::string_view count : {"0", "-1", "x", "", "9223372036854775808"}) {
    CHECK(error({count, "a"}) ==
          "KEYS: expected a number of at least 1 or LINES, got '" + std::string(count) + "'");
  }
  CHECK(error({"3", "a", "b"}) == "syntax error: KEYS: expected 3 items, got 2");
  // An announced count reserves no memory.
  CHECK(error({"9223372036854775807", "a"}) ==
        "syntax error: KEYS: expected 9223372036854775807 items, got 1");
  CHECK(error({"LINES", ""}) == "KEYS: line 1 is empty");
  CHECK(error({"LINES", "\n"}) == "KEYS: line 1 is empty");
  CHECK(error({"LINES", "a\n\nb"}) == "KEYS: line 2 is empty");
  CHECK(error({"LINES", "a\n\n"}) == "KEYS: line 2 is empty");  // one trailing newline is dropped
  CHECK(error({"LINES", "\na"}) == "KEYS: line 1 is empty");
}

TEST_CASE("packed integers are little-endian and whole", "[arg-reader]") {
  const std::string_view two("\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16);
  std::vector<std::int64_t> values = {9};
  const auto args = Args({two, "", two.substr(0, 15)});
  ArgReader reader(args);
  reader.PackedInts("ROWS", values);
  CHECK(values == std::vector<std::int64_t>{1, -1});
  reader.PackedInts("ROWS", values);
  CHECK(values.empty());
  CHECK(reader.ok());
  reader.PackedInts("ROWS", values);
  const Status status = reader.Finish();
  CHECK(status.GetCode() == Code::kShape);
  CHECK(status.Message() == "ROWS: packed int64 must be a multiple of 8 bytes, got 15");
}

}  // namespace
}  // namespace sluice::server
