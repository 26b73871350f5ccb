#include "store/tag.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/json/parser.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "store/json_text.h"

namespace sluice::store {
namespace {

namespace json = boost::json;

// A usual tag is parsed without the heap.
constexpr std::size_t kParseBufferBytes = 4096;

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
    std::array<unsigned char, 1024> stack;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    json::parser parser({}, options, stack.data(), stack.size());
    parser.reset(&resource_);
    json::error_code error;
    const std::size_t end = parser.write(text.data(), text.size(), error);
    if (error == json::error::too_deep) {
      return Status(Code::kBadTag, fmt::format("the tag is more than {} deep", kTagDepthMax));
    }
    if (error) {
      return Status(Code::kBadTag, fmt::format("the tag is not a JSON object: {} at byte {}",
                                               error.message(), end));
    }
    value_.emplace(parser.release());
    return value_->is_object()
               ? Status()
               : Status(Code::kBadTag, "the tag is not a JSON object but another JSON value");
  }
  json::object& Object() { return value_->get_object(); }

 private:
  std::array<unsigned char, kParseBufferBytes> buffer_;  // first: the resource takes from it
  json::monotonic_resource resource_{buffer_.data(), buffer_.size()};
  std::optional<json::value> value_;
};

// RFC 7396, section 2: MergePatch.
void Merge(json::object& target,
           const json::object& patch) {  // NOLINT(misc-no-recursion): kTagDepthMax
  for (const auto& member : patch) {
    const json::string_view name = member.key();
    if (member.value().is_null()) {
      if (auto* const it = target.find(name); it != target.end()) {
        target.stable_erase(it);  // the order stays as people wrote it
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

// Shortest text that reads back the same, and reads back as a float.
void AppendDouble(double value, std::string& out) {
  if (!std::isfinite(value)) {  // a number past the range: JSON has no other way to say so
    out += value > 0 ? "1e999" : "-1e999";
    return;
  }
  const std::size_t begin = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_of(".e", begin) == std::string::npos) {
    out += ".0";
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
      AppendJsonString(value.get_string(), out);
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
