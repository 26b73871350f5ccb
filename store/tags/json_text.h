// JSON text: a function that writes strings, and a base class for parsers that build no tree of
// values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/error.hpp>
#include <boost/json/string_view.hpp>

namespace sluice::store {

// Appends `text` as a JSON string with its quotes. Escapes " \ and characters below U+0020; other
// bytes are unchanged. Each byte has one spelling, and no spelling is a prefix of another. So a
// string is equal to another, or a prefix of it, exactly if the same is true of their spellings
// without the closing quotes. REQUIRES, for the result to be JSON: valid UTF-8.
void AppendJsonString(std::string_view text, std::string& out);

// A handler for boost::json::basic_parser that accepts everything. Derive from it and hide the
// functions of interest: they are not virtual. See Boost.JSON's documentation of basic_parser.
//
// NOLINTBEGIN(readability-identifier-naming): Boost.JSON's names
struct JsonVisitor {
  using Error = boost::json::error_code;
  using View = boost::json::string_view;
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = max_object_size;
  static constexpr std::size_t max_key_size = max_object_size;
  static constexpr std::size_t max_string_size = max_object_size;

  static bool on_document_begin(Error&) { return true; }
  static bool on_document_end(Error&) { return true; }
  static bool on_object_begin(Error&) { return true; }
  static bool on_object_end(std::size_t, Error&) { return true; }
  static bool on_array_begin(Error&) { return true; }
  static bool on_array_end(std::size_t, Error&) { return true; }
  static bool on_key_part(View, std::size_t, Error&) { return true; }
  static bool on_key(View, std::size_t, Error&) { return true; }
  static bool on_string_part(View, std::size_t, Error&) { return true; }
  static bool on_string(View, std::size_t, Error&) { return true; }
  static bool on_number_part(View, Error&) { return true; }
  static bool on_int64(std::int64_t, View, Error&) { return true; }
  static bool on_uint64(std::uint64_t, View, Error&) { return true; }
  static bool on_double(double, View, Error&) { return true; }
  static bool on_bool(bool, Error&) { return true; }
  static bool on_null(Error&) { return true; }
  static bool on_comment_part(View, Error&) { return true; }
  static bool on_comment(View, Error&) { return true; }
};
// NOLINTEND(readability-identifier-naming)

}  // namespace sluice::store
