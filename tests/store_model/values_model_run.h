// One seed's run of values_model_test.cc: sends random writes to the server and to the model
// (values_model.h), runs some steps of compaction, and compares all values after each.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "store/compaction.h"
#include "tests/store_model/values_model.h"
#include "tests/support/random_picks.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

class ValuesModelRun : private RandomPicks {
 public:
  explicit ValuesModelRun(unsigned seed) : RandomPicks(seed), client_(server_) {}

  void Step() {
    switch (Pick(11)) {
      case 0:
      case 1:
      case 2:
        Put();
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        Mput();
        break;
      case 7:
        ClearRows();
        break;
      case 8:
        ClearCells();
        break;
      case 9:
        Same();
        break;
      default:
        ClearPartition();
    }
    for (int i = 0; i < 3; ++i) {
      compaction_.Step();
    }
    Compare();
  }

  [[nodiscard]] std::int64_t MovedValues() const { return compaction_.MovedValues(); }

  void Finish() {
    client_.Run({"FLUSHALL"});
    client_.TakeOutput();
    while (compaction_.Step()) {  // compaction drops its pending moves
    }
    CHECK(server_.GetMemory().GetArena().GetStats().used_bytes == 0);
  }

 private:
  struct Field {
    std::string name;
    std::string dtype;
    bool byte_string;
    std::size_t size;
  };

  Field PickField() {
    const std::string name = Name("f", 6);
    if (name == "f5") {
      return {name, "utf8", true, 1};
    }
    return name < "f3" ? Field{name, "float32", false, 4} : Field{name, "uint8", false, 1};
  }
  std::vector<std::int64_t> PickShape(std::size_t rank, bool large) {
    std::vector<std::int64_t> shape;
    for (std::size_t d = 0; d < rank; ++d) {
      shape.push_back(static_cast<std::int64_t>(Pick(large && d == 0 ? 9000 : 4)));
    }
    return shape;
  }
  static std::size_t Count(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t dim : shape) {
      count *= static_cast<std::size_t>(dim);
    }
    return count;
  }

  Value Ask(const std::vector<std::string>& words) {
    const std::string& key = words.size() > 2 ? words[2] : "";
    last_ = fmt::format("{} {} {}", words[0], words[1], key);
    const std::vector<Value> values = DecodeAll(client_.Run(words));
    CAPTURE(last_);
    REQUIRE(values.size() == 1);
    return values.front();
  }
  void Write(const std::vector<std::string>& words) {
    const Value reply = Ask(words);
    CAPTURE(last_, reply.text);
    REQUIRE(reply.type != '-');
  }

  void Put() {
    const std::string name = Name("p", 2);
    const std::string key = Name("k", 12);
    const Field field = PickField();
    const auto shape = field.byte_string
                           ? std::vector<std::int64_t>{static_cast<std::int64_t>(Pick(200))}
                           : PickShape(Pick(3), Pick(4) == 0);
    const std::string bytes = Bytes(Count(shape) * field.size);
    std::vector<std::string> words = {"KV.PUT", name, key, "FIELD", field.name, field.dtype};
    if (!field.byte_string) {
      for (const std::int64_t dim : shape) {
        words.push_back(std::to_string(dim));
      }
    }
    words.insert(words.end(), {"BLOB", bytes});
    partitions_[name].FindOrAdd(key).cells[field.name] = {field.dtype, shape, bytes};
    Write(words);
  }

  // Rows of an MPUT: adds their words, and adds new rows to the model. Returns the keys.
  std::vector<std::string> PickRows(ModelPartition& partition, std::vector<std::string>& words) {
    std::vector<std::string> keys;
    const std::size_t count = Pick(6) + 1;
    if (Pick(3) == 0) {
      words.insert(words.end(), {"NEW", std::to_string(count)});
      for (std::size_t i = 0; i < count; ++i) {
        while (partition.rows.count(std::to_string(partition.next_index)) != 0) {
          ++partition.next_index;
        }
        keys.push_back(std::to_string(partition.next_index));
        partition.FindOrAdd(keys.back());
      }
      return keys;
    }
    for (std::size_t i = 0; i < count; ++i) {
      // Numbers too: keys that NEW would make
      const std::string key = Pick(4) == 0 ? std::to_string(Pick(300)) : Name("k", 12);
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        keys.push_back(key);
      }
    }
    const bool all_exist = std::all_of(
        keys.begin(), keys.end(),
        [&partition](const std::string& key) { return partition.rows.count(key) != 0; });
    if (all_exist && Pick(2) == 0) {
      std::vector<std::int64_t> indexes;
      for (const std::string& key : keys) {
        indexes.push_back(partition.rows[key].index);
      }
      words.insert(words.end(), {"ROWS", Packed(indexes)});
      return keys;
    }
    words.insert(words.end(), {"KEYS", std::to_string(keys.size())});
    for (const std::string& key : keys) {
      words.push_back(key);
      partition.FindOrAdd(key);
    }
    return keys;
  }

  void Mput() {
    const std::string name = Name("p", 2);
    std::vector<std::string> words = {"KV.MPUT", name};
    ModelPartition& partition = partitions_[name];
    const std::vector<std::string> keys = PickRows(partition, words);
    std::vector<std::string> fields;
    for (std::size_t c = Pick(3); c > 0; --c) {
      const Field field = PickField();
      if (std::find(fields.begin(), fields.end(), field.name) == fields.end()) {
        fields.push_back(field.name);
        AddColumn(partition, field, keys, words);
      }
    }
    Write(words);
  }

  void AddColumn(ModelPartition& partition, const Field& field,
                 const std::vector<std::string>& keys, std::vector<std::string>& words) {
    words.insert(words.end(), {"COLUMN", field.name, field.dtype});
    std::vector<std::int64_t> dict;
    const bool with_dict = Pick(3) == 0;
    std::size_t slots = keys.size();
    if (with_dict) {
      slots = Pick(keys.size()) + 1;
      for (std::size_t i = 0; i < keys.size(); ++i) {
        dict.push_back(static_cast<std::int64_t>(i < slots ? i : Pick(slots)));
      }
      std::shuffle(dict.begin(), dict.end(), random_);
    }
    const bool ragged = field.byte_string || Pick(2) == 0;
    const std::size_t rank = field.byte_string ? 1 : Pick(3) + (ragged ? 1 : 0);
    const bool large = Pick(4) == 0;
    std::vector<ModelCell> cells;
    const std::vector<std::int64_t> common = PickShape(rank, large);
    std::vector<std::int64_t> shapes;
    std::string bytes;
    for (std::size_t i = 0; i < slots; ++i) {
      const auto shape = ragged ? PickShape(rank, large) : common;
      shapes.insert(shapes.end(), shape.begin(), shape.end());
      cells.push_back({field.dtype, shape, Bytes(Count(shape) * field.size)});
      bytes += cells.back().bytes;
    }
    if (ragged) {
      words.insert(words.end(), {"SHAPES", std::to_string(rank), Packed(shapes)});
    } else {
      for (const std::int64_t dim : common) {
        words.push_back(std::to_string(dim));
      }
    }
    if (with_dict) {
      words.insert(words.end(), {"DICT", Packed(dict)});
    }
    words.insert(words.end(), {"BLOB", bytes});
    for (std::size_t i = 0; i < keys.size(); ++i) {
      partition.rows[keys[i]].cells[field.name] =
          cells[with_dict ? static_cast<std::size_t>(dict[i]) : i];
    }
  }

  // The rows share the stored value.
  void Same() {
    const std::string name = Name("p", 2);
    const std::string from = Name("k", 12);
    const std::string to = Name("k", 12);
    const std::string field = Name("f", 6);
    ModelPartition& partition = partitions_[name];
    const auto row = partition.rows.find(from);
    if (row == partition.rows.end() || row->second.cells.count(field) == 0) {
      return;
    }
    const ModelCell cell = row->second.cells[field];
    partition.FindOrAdd(to).cells[field] = cell;
    Write({"KV.PUT", name, to, "FIELD", field, "SAME", from});
  }

  void ClearRows() {
    const std::string name = Name("p", 2);
    std::vector<std::string> words = {"KV.CLEAR", name, "KEYS", "3"};
    for (int i = 0; i < 3; ++i) {
      words.push_back(Name("k", 12));
      partitions_[name].rows.erase(words.back());
    }
    Write(words);
  }

  void ClearCells() {
    const std::string name = Name("p", 2);
    const std::string key = Name("k", 12);
    const std::string field = Name("f", 6);
    if (const auto row = partitions_[name].rows.find(key); row != partitions_[name].rows.end()) {
      row->second.cells.erase(field);
    }
    Write({"KV.CLEAR", name, "KEYS", "1", key, "FIELDS", "1", field});
  }

  void ClearPartition() {
    if (Pick(4) != 0) {
      return;
    }
    const std::string name = Name("p", 2);
    partitions_.erase(name);
    Write({"KV.CLEAR", name});
  }

  void Compare() {
    CAPTURE(last_);
    for (const auto& [name, partition] : partitions_) {
      if (partition.rows.empty()) {
        continue;
      }
      CompareRows(partition, Ask(AllRows(name, partition)));
      CompareOneField(name, partition);
    }
  }

  // The command for all rows, and one that does not exist.
  static std::vector<std::string> AllRows(const std::string& name,
                                          const ModelPartition& partition) {
    const std::string count = std::to_string(partition.rows.size() + 1);
    std::vector<std::string> words = {"KV.MGET", name, "KEYS", count};
    for (const auto& [key, row] : partition.rows) {
      words.push_back(key);
    }
    words.insert(words.end(), {"no such row", "FORMAT", "rows"});
    return words;
  }

  // One field of the rows that have it, by index and as columns, with and without DICT.
  void CompareOneField(const std::string& name, const ModelPartition& partition) {
    const std::string field = Name("f", 6);
    const auto [indexes, cells] = partition.RowsWith(field);
    if (cells.empty()) {
      return;
    }
    std::vector<std::string> words = {"KV.MGET", name, "ROWS", Packed(indexes),
                                      "FIELDS",  "1",  field};
    const bool dict = Pick(2) == 0;
    if (dict) {
      words.emplace_back("DICT");
    }
    CompareColumn(cells, dict, Ask(words));
  }

  TestServer server_;
  store::Compaction compaction_{server_.GetStore(), server_.GetMemory()};
  TestClient client_;
  std::map<std::string, ModelPartition> partitions_;
  std::string last_;  // the last request
};

}  // namespace sluice::tests
