#include "store/tags/tag.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>
#include <fmt/format.h>

#include "store/tags/json_number.h"
#include "store/tags/json_text.h"

namespace sluice::store {
namespace {

namespace json = boost::json;

// Most tags are parsed without heap allocation.
constexpr std::size_t kParseBufferBytes = 4096;
constexpr std::size_t kStackBytes = 1024;

// Marks the text of an integer that neither int64 nor uint64 holds. Boost.JSON has no such
// integers: they are kept as strings that begin with this byte, which no UTF-8 text has.
constexpr char kIntegerMark = '\xff';

// Builds the value as Boost's own parser does, except for numbers that the parser makes doubles of:
// large integers keep their digits, and floats are parsed exactly (Boost 1.81 is off by one unit in
// the last place for one in ten).
// NOLINTBEGIN(readability-identifier-naming): Boost.JSON's names
struct ValueBuilder : JsonVisitor {
  bool on_object_end(std::size_t count, Error&) { return stack->push_object(count), true; }
  bool on_array_end(std::size_t count, Error&) { return stack->push_array(count), true; }
  bool on_key_part(View part, std::size_t, Error&) { return stack->push_chars(part), true; }
  bool on_key(View part, std::size_t, Error&) { return stack->push_key(part), true; }
  bool on_string_part(View part, std::size_t, Error&) { return stack->push_chars(part), true; }
  bool on_string(View part, std::size_t, Error&) { return stack->push_string(part), true; }
  bool on_int64(std::int64_t value, View, Error&) { return stack->push_int64(value), true; }
  bool on_uint64(std::uint64_t value, View, Error&) { return stack->push_uint64(value), true; }
  bool on_double(double, View text, Error&) {
    const JsonNumber number = ReadJsonNumber({text.data(), text.size()});
    if (!number.IsInteger()) {
      return stack->push_double(number.real), true;
    }
    stack->push_chars({&kIntegerMark, 1});
    return stack->push_string(text), true;
  }
  bool on_bool(bool value, Error&) { return stack->push_bool(value), true; }
  bool on_null(Error&) { return stack->push_null(), true; }

  json::value_stack* stack = nullptr;
};
// NOLINTEND(readability-identifier-naming)

class Document {
 public:
  // REQUIRES: called once.
  Status Parse(std::string_view text) {
    if (text.size() > kTagBytesMax) {
      return Status(Code::kBadTag,
                    fmt::format("the tag is over {} bytes: {}", kTagBytesMax, text.size()));
    }
    json::parse_options options;
    options.max_depth = kTagDepthMax;
    json::basic_parser<ValueBuilder> parser(options);
    parser.handler().stack = &stack_;
    stack_.reset(&resource_);
    json::error_code error;
    std::size_t end = parser.write_some(false, text.data(), text.size(), error);
    if (!error && end < text.size()) {
      error = json::error::extra_data;
    }
    if (error == json::error::too_deep) {
      return Status(Code::kBadTag, fmt::format("the tag is nested over {} deep", kTagDepthMax));
    }
    if (error) {
      return Status(Code::kBadTag, fmt::format("the tag is not a JSON object: {} at byte {}",
                                               error.message(), end));
    }
    value_.emplace(stack_.release());
    return value_->is_object()
               ? Status()
               : Status(Code::kBadTag, "the tag is not a JSON object but another JSON value");
  }
  json::object& Object() { return value_->get_object(); }

 private:
  std::array<unsigned char, kParseBufferBytes> buffer_;  // first, because resource_ uses it
  json::monotonic_resource resource_{buffer_.data(), buffer_.size()};
  std::array<unsigned char, kStackBytes> stack_buffer_;
  json::value_stack stack_{json::storage_ptr(&resource_), stack_buffer_.data(),
                           stack_buffer_.size()};
  std::optional<json::value> value_;
};

// RFC 7396, section 2: MergePatch.
void Merge(json::object& target,
           const json::object& patch) {  // NOLINT(misc-no-recursion): kTagDepthMax
  for (const auto& member : patch) {
    const json::string_view name = member.key();
    if (member.value().is_null()) {
      if (auto* const it = target.find(name); it != target.end()) {
        target.stable_erase(it);  // keeps the order of the names
      }
      continue;
    }
    if (!member.value().is_object()) {
      target.insert_or_assign(name, member.value());
      continue;
    }
    json::value& inner = target[name];
    if (!inner.is_object()) {
      inner.emplace_object();
    }
    Merge(inner.get_object(), member.value().get_object());
  }
}

// Appends the shortest text that parses to the same value and as a float.
void AppendDouble(double value, std::string& out) {
  if (!std::isfinite(value)) {  // out of range; JSON has no literal for infinity
    out += value > 0 ? "1e999" : "-1e999";
    return;
  }
  const std::size_t begin = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_of(".e", begin) == std::string::npos) {
    out += ".0";
  }
}

// Appends a string, or the integer that is kept as one.
void AppendString(std::string_view text, std::string& out) {
  if (text.starts_with(kIntegerMark)) {
    out += text.substr(1);
  } else {
    AppendJsonString(text, out);
  }
}

void AppendValue(const json::value& value,
                 std::string& out) {  // NOLINT(misc-no-recursion): kTagDepthMax
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      return;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case json::kind::int64:
      fmt::format_to(std::back_inserter(out), "{}", value.get_int64());
      return;
    case json::kind::uint64:
      fmt::format_to(std::back_inserter(out), "{}", value.get_uint64());
      return;
    case json::kind::double_:
      AppendDouble(value.get_double(), out);
      return;
    case json::kind::string:
      AppendString(value.get_string(), out);
      return;
    case json::kind::array:
    case json::kind::object:
      break;
  }
  char separator = value.is_array() ? '[' : '{';
  const char end = value.is_array() ? ']' : '}';
  if (const json::array* const array = value.if_array()) {
    for (const json::value& item : *array) {
      out += std::exchange(separator, ',');
      AppendValue(item, out);
    }
  } else {
    for (const auto& member : value.get_object()) {
      out += std::exchange(separator, ',');
      AppendJsonString(member.key(), out);
      out += ':';
      AppendValue(member.value(), out);
    }
  }
  if (separator != ',') {  // empty
    out += separator;
  }
  out += end;
}

Result<Text> Canonical(json::object object) {
  thread_local std::string text;  // keeps its capacity
  text.clear();
  AppendValue(json::value(std::move(object)), text);
  if (text.size() > kTagBytesMax) {
    return Status(Code::kBadTag,
                  fmt::format("the merged tag is over {} bytes: {}", kTagBytesMax, text.size()));
  }
  return Text(text);
}

}  // namespace

Result<Text> FreshTag(std::string_view patch) {
  return MergeTag("{}", patch);
}

Result<Text> MergeTag(std::string_view tag, std::string_view patch) {
  Document changes;
  TRY(changes.Parse(patch));
  Document merged;
  TRY(merged.Parse(tag.empty() ? "{}" : tag));
  Merge(merged.Object(), changes.Object());
  return Canonical(std::move(merged.Object()));
}

}  // namespace sluice::store
