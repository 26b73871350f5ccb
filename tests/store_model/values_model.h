// A slow, obvious model of stored values, which values_model_test.cc compares with the server. It
// uses maps and no code of store/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {

struct ModelCell {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

struct ModelRow {
  std::int64_t index = 0;
  std::map<std::string, ModelCell> cells;
};

struct ModelPartition {
  std::int64_t next_index = 0;
  std::map<std::string, ModelRow> rows;

  ModelRow& FindOrAdd(const std::string& key) {
    const auto [it, is_new] = rows.try_emplace(key);
    if (is_new) {
      it->second.index = next_index++;
    }
    return it->second;
  }

  // Returns indexes and cells of the rows that have this field, by key.
  [[nodiscard]] std::pair<std::vector<std::int64_t>, std::vector<const ModelCell*>> RowsWith(
      const std::string& field) const {
    std::pair<std::vector<std::int64_t>, std::vector<const ModelCell*>> found;
    for (const auto& [key, row] : rows) {
      if (const auto it = row.cells.find(field); it != row.cells.end()) {
        found.first.push_back(row.index);
        found.second.push_back(&it->second);
      }
    }
    return found;
  }
};

inline std::string Packed(const std::vector<std::int64_t>& values) {
  std::string bytes(values.size() * 8, '\0');
  if (!values.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

// The reply of KV.MGET with FORMAT rows for all rows, by key, and one missing key.
inline void CompareRows(const ModelPartition& partition, const Value& reply) {
  REQUIRE(reply.items.size() == partition.rows.size() + 1);
  REQUIRE(reply.items.back().type == '_');
  std::size_t at = 0;
  for (const auto& [key, row] : partition.rows) {
    const Value& fields = reply.items[at++];
    CAPTURE(key);
    REQUIRE(fields.items.size() == row.cells.size());
    for (const Value& field : fields.items) {
      const std::string& name = field.items[0].text;
      CAPTURE(name);
      REQUIRE(row.cells.count(name) == 1);
      const ModelCell& cell = row.cells.at(name);
      REQUIRE(field.items[1].text == cell.dtype);
      REQUIRE(field.items[2].items.size() == cell.shape.size());
      for (std::size_t d = 0; d < cell.shape.size(); ++d) {
        REQUIRE(field.items[2].items[d].text == std::to_string(cell.shape[d]));
      }
      REQUIRE(field.items[3].text == cell.bytes);
    }
  }
}

// The reply of KV.MGET with FORMAT columns for one field of rows with these cells.
inline void CompareColumn(const std::vector<const ModelCell*>& cells, bool dict,
                          const Value& reply) {
  const bool same_rank = std::all_of(cells.begin(), cells.end(), [&cells](const ModelCell* cell) {
    return cell->shape.size() == cells.front()->shape.size();
  });
  if (!same_rank) {
    REQUIRE(reply.text.starts_with("SHAPE"));
    return;
  }
  REQUIRE(reply.items.size() == 1);
  const Value& column = reply.items[0];
  std::string shapes;
  std::string bytes;
  if (dict) {  // reassemble the rows
    std::vector<std::int64_t> positions(column.items[5].text.size() / 8);
    std::memcpy(positions.data(), column.items[5].text.data(), column.items[5].text.size());
    REQUIRE(positions.size() == cells.size());
    std::vector<std::string> distinct(
        static_cast<std::size_t>(std::stol(column.items[2].items[0].text)));
    for (std::size_t i = 0; i < cells.size(); ++i) {
      distinct.at(static_cast<std::size_t>(positions[i])) = cells[i]->bytes;
    }
    for (const std::string& part : distinct) {
      bytes += part;
    }
  } else {
    for (const ModelCell* const cell : cells) {
      shapes += Packed(cell->shape);
      bytes += cell->bytes;
    }
    if (column.items[3].type != '_') {
      REQUIRE(column.items[3].text == shapes);
    }
  }
  REQUIRE(column.items[4].text == bytes);
}

}  // namespace sluice::tests
