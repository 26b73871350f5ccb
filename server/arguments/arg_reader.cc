#include "server/arguments/arg_reader.h"

#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"

namespace sluice::server {
Status SyntaxError() {
  return Status(Code::kError, "syntax error");
}

bool ParseInteger(std::string_view text, std::int64_t& out) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  if (error != std::errc() || stop != end) {
    return false;
  }
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  return digits == "0" ? digits.size() == text.size() : !digits.starts_with('0');
}

std::string_view ArgReader::Peek() const {
  return HasMore() ? rest_.front().text : std::string_view();
}

RequestArg ArgReader::Take(std::string_view what) {
  if (!HasMore()) {
    Fail(Status(Code::kError, fmt::format("syntax error: {} is missing", what)));
    return {};
  }
  RequestArg arg = rest_.front();
  rest_ = rest_.subspan(1);
  return arg;
}

std::string_view ArgReader::Word(std::string_view what) {
  if (!HasMore()) {
    return Take(what).text;  // fails
  }
  const std::string_view text = rest_.front().text;
  rest_ = rest_.subspan(1);
  return text;
}

bool ArgReader::Option(std::string_view token) {
  if (!HasMore() || !EqualsIgnoreCase(rest_.front().text, token)) {
    return false;
  }
  rest_ = rest_.subspan(1);
  return true;
}

std::string_view ArgReader::Name(std::string_view what) {
  const std::string_view name = Word(what);
  if (ok()) {
    Fail(CheckName(what, name));
  }
  return name;
}

std::int64_t ArgReader::Integer(IntegerRange range) {
  std::int64_t value = 0;
  const std::string_view text = Word("a number");
  if (ok() && (!ParseInteger(text, value) || value < range.min || value > range.max)) {
    Fail(Status(Code::kError, "value is not an integer or out of range"));
    return 0;
  }
  return value;
}

std::int64_t ArgReader::Number(std::string_view option, IntegerRange range) {
  Expect("a number", option);
  std::int64_t value = 0;
  const std::string_view text = Word(option);
  if (ok() && (!ParseInteger(text, value) || value < range.min || value > range.max)) {
    Fail(Status(Code::kError, fmt::format("{}: expected an integer from {} to {}, got '{}'", option,
                                          range.min, range.max, Printable(text))));
  }
  return ok() ? value : range.min;
}

std::uint64_t ArgReader::Cursor() {
  std::uint64_t cursor = 0;
  const std::string_view text = Word("cursor");
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, cursor);
  const bool valid = error == std::errc() && stop == end &&
                     cursor <= std::uint64_t{std::numeric_limits<std::int64_t>::max()};
  if (ok() && !valid) {
    Fail(Status(Code::kError, "invalid cursor"));
  }
  return cursor;
}

RequestView ArgReader::Remaining() {
  if (!ok()) {
    return {};
  }
  return std::exchange(rest_, {});
}

void ArgReader::List(std::string_view option, std::vector<std::string_view>& items) {
  items.clear();
  if (!Option("LINES")) {
    Expect("a list", option);
    std::int64_t count = 0;
    const std::string_view text = Word(option);
    if (ok() && (!ParseInteger(text, count) || count < 1)) {
      Fail(
          Status(Code::kError, fmt::format("{}: expected a number of at least 1 or LINES, got '{}'",
                                           option, Printable(text))));
    }
    if (ok() && static_cast<std::uint64_t>(count) > rest_.size()) {
      Fail(Status(Code::kError, fmt::format("syntax error: {}: expected {} items, got {}", option,
                                            count, rest_.size())));
    }
    for (std::int64_t i = 0; ok() && i < count; ++i) {
      items.push_back(Word(option));
    }
    return;
  }
  Expect("the items", "LINES");
  std::string_view lines = Word(option);
  if (lines.ends_with('\n')) {
    lines.remove_suffix(1);
  }
  while (ok()) {
    const std::size_t end = lines.find('\n');
    const std::string_view item = lines.substr(0, end);
    if (item.empty()) {
      Fail(Status(Code::kError, fmt::format("{}: line {} is empty", option, items.size() + 1)));
      return;
    }
    items.push_back(item);
    if (end == std::string_view::npos) {
      return;
    }
    lines.remove_prefix(end + 1);
  }
}

void ArgReader::PackedInts(std::string_view option, std::vector<std::int64_t>& values) {
  values.clear();
  Expect("packed int64", option);
  const std::string_view bytes = Word(option);
  if (bytes.size() % sizeof(std::int64_t) != 0) {
    Fail(Status(Code::kShape, fmt::format("{}: packed int64 must be a multiple of 8 bytes, got {}",
                                          option, bytes.size())));
    return;
  }
  values.resize(bytes.size() / sizeof(std::int64_t));
  if (!bytes.empty()) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  }
}

void ArgReader::Expect(std::string_view what, std::string_view option) {
  if (ok() && rest_.empty()) {
    Fail(Status(Code::kError, fmt::format("syntax error: expected {} after {}", what, option)));
  }
}

void ArgReader::Fail(Status status) {
  if (status_.ok()) {
    status_ = std::move(status);
  }
}

void ArgReader::Unexpected() {
  Fail(Status(Code::kError, fmt::format("syntax error near '{}'", Printable(Peek()))));
}

Status ArgReader::Finish() {
  if (HasMore() && of_redis_) {
    Fail(SyntaxError());
  } else if (HasMore()) {
    Unexpected();
  }
  return std::move(status_);
}

}  // namespace sluice::server
