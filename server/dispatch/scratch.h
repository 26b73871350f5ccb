// Scratch: vectors for commands, which keep their memory from one command to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "store/partition/rows.h"
#include "store/safetensors/safetensors.h"

namespace sluice::server {

// Vectors for a command's arguments and results, so that a command allocates nothing in the steady
// state. Empty between commands.
struct Scratch {
  std::vector<std::string_view> keys;
  std::vector<std::string_view> fields;
  std::vector<std::string_view> words;
  std::vector<RowIndex> indexes;
  std::vector<store::ColumnWrite> columns;
  std::vector<store::TagWrite> tags;
  std::vector<Text> texts;
  std::deque<std::vector<std::int64_t>> ints;  // dims, shapes, dicts: returned by Ints()
  std::size_t ints_used = 0;
  std::deque<std::string> bytes;  // values parsed from text
  std::size_t bytes_used = 0;
  std::vector<store::SafetensorsColumn> safetensors;  // `columns` borrow their dims
  store::WriteResult write;
  store::ReadResult read;

  std::vector<std::int64_t>& Ints();  // returns an empty vector, valid until Reset()
  std::string& Bytes();
  void Reset() noexcept;
};

}  // namespace sluice::server
