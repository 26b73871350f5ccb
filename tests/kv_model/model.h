// The slow, obvious model of the store that model_test.cc compares with the server. It uses maps
// and no code of store/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {

namespace json = boost::json;

struct ModelCell {
  std::vector<std::int64_t> shape;
  std::string bytes;
};

struct ModelRow {
  std::int64_t index = 0;
  json::object tag;
  std::map<std::string, ModelCell> cells;
};

struct ModelPartition {
  std::int64_t next_index = 0;
  std::map<std::string, ModelRow> rows;
  std::map<std::string, std::string> dtypes;  // of fields that at least one row holds

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

  void ForgetEmptyFields() {
    std::erase_if(dtypes, [this](const auto& field) {
      return std::none_of(rows.begin(), rows.end(), [&field](const auto& row) {
        return row.second.cells.count(field.first) != 0;
      });
    });
  }
};

inline void MergePatch(json::object& target, const json::object& patch) {
  for (const auto& [name, value] : patch) {
    if (value.is_null()) {
      target.erase(name);
    } else if (value.is_object()) {
      json::value& inner = target[name];
      if (!inner.is_object()) {
        inner = json::object();
      }
      MergePatch(inner.get_object(), value.get_object());
    } else {
      target[name] = value;
    }
  }
}

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
      REQUIRE(field.items[1].text == partition.dtypes.at(name));
      REQUIRE(field.items[2].items.size() == cell.shape.size());
      for (std::size_t d = 0; d < cell.shape.size(); ++d) {
        REQUIRE(field.items[2].items[d].text == std::to_string(cell.shape[d]));
      }
      REQUIRE(field.items[3].text == cell.bytes);
    }
  }
}

// The reply of KV.TAGS for the same keys.
inline void CompareTags(const ModelPartition& partition, const Value& reply) {
  REQUIRE(reply.items.back().type == '_');
  std::size_t at = 0;
  for (const auto& [key, row] : partition.rows) {
    CAPTURE(key, reply.items[at].text);
    REQUIRE(json::parse(reply.items[at].text) == json::value(row.tag));
    ++at;
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
