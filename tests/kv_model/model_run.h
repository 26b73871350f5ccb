// One seed's run of model_test.cc: sends random commands to the server and to the model (model.h)
// and compares all state after each.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "store/compaction.h"
#include "tests/kv_model/model.h"
#include "tests/kv_model/random_picks.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

class ModelRun : private RandomPicks {
 public:
  explicit ModelRun(unsigned seed) : RandomPicks(seed), client_(server_) {}

  void Step() {
    switch (Pick(12)) {
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
      case 10:
        String();
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
    strings_.clear();
    partitions_.clear();
    Compare();
    while (compaction_.Step()) {  // compaction drops its pending moves
    }
    CHECK(server_.GetMemory().GetArena().GetStats().used_bytes == 0);
  }

 private:
  Value Ask(const std::vector<std::string>& words) {
    last_ = fmt::format("{} {} {}", words[0], words.size() > 1 ? words[1] : "",
                        words.size() > 2 ? words[2] : "");
    const std::vector<Value> values = DecodeAll(client_.Run(words));
    REQUIRE(values.size() == 1);
    return values.front();
  }

  // The model's result of a write of `field`; sets *error if its dtype differs from the field's.
  void Expect(ModelPartition& partition, const Field& field, std::string* error) {
    const auto held = partition.dtypes.find(field.name);
    if (held != partition.dtypes.end() && held->second != field.dtype) {
      *error = "DTYPE";
    }
  }

  void Put() {
    const std::string name = Name("p", 2);
    const std::string key = Name("k", 12);
    std::vector<std::string> words = {"KV.PUT", name, key};
    ModelPartition next = partitions_.count(name) ? partitions_[name] : ModelPartition();
    std::string error;
    const bool is_new = next.rows.count(key) == 0;
    ModelRow& row = next.rows[key];
    if (is_new) {
      row.index = next.next_index++;
    }
    const Field field = PickField();
    Expect(next, field, &error);
    const auto shape = field.byte_string
                           ? std::vector<std::int64_t>{static_cast<std::int64_t>(Pick(200))}
                           : PickShape(Pick(3), Pick(4) == 0);
    const std::string bytes = Bytes(Count(shape) * field.size);
    words.insert(words.end(), {"FIELD", field.name, field.dtype});
    if (!field.byte_string) {
      for (const std::int64_t dim : shape) {
        words.push_back(std::to_string(dim));
      }
    }
    words.insert(words.end(), {"BLOB", bytes});
    row.cells[field.name] = {shape, bytes};
    if (Pick(2) == 0) {
      const std::string patch = Patch();
      words.insert(words.end(), {"TAG", patch});
      MergePatch(row.tag, json::parse(patch).as_object());
    }
    Commit(name, std::move(next), {{field.name, field.dtype}}, words, error, is_new ? "1" : "0");
  }

  void Commit(const std::string& name, ModelPartition next,
              const std::map<std::string, std::string>& dtypes,
              const std::vector<std::string>& words, const std::string& error,
              const std::string& expected) {
    const Value reply = Ask(words);
    CAPTURE(last_, reply.text);
    if (!error.empty()) {
      REQUIRE(reply.type == '-');
      REQUIRE(reply.text.starts_with(error));
      return;
    }
    REQUIRE(reply.type != '-');
    REQUIRE((reply.type == '*' ? reply.items[0].text : reply.text) == expected);
    next.dtypes.insert(dtypes.begin(), dtypes.end());
    next.ForgetEmptyFields();
    partitions_[name] = std::move(next);
  }

  // Rows of an MPUT: their words, and the model's rows in order.
  std::vector<std::string> PickRows(ModelPartition& next, std::vector<std::string>& words,
                                    std::size_t* made) {
    std::vector<std::string> keys;
    const std::size_t count = Pick(6) + 1;
    if (Pick(3) == 0) {
      words.insert(words.end(), {"NEW", std::to_string(count)});
      for (std::size_t i = 0; i < count; ++i) {
        while (next.rows.count(std::to_string(next.next_index)) != 0) {
          ++next.next_index;
        }
        keys.push_back(std::to_string(next.next_index));
        next.rows[keys.back()].index = next.next_index++;
        ++*made;
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
    const bool all_there = std::all_of(keys.begin(), keys.end(), [&next](const std::string& key) {
      return next.rows.count(key) != 0;
    });
    if (all_there && Pick(2) == 0) {
      std::vector<std::int64_t> indexes;
      for (const std::string& key : keys) {
        indexes.push_back(next.rows[key].index);
      }
      words.insert(words.end(), {"ROWS", Packed(indexes)});
      return keys;
    }
    words.insert(words.end(), {"KEYS", std::to_string(keys.size())});
    for (const std::string& key : keys) {
      words.push_back(key);
      if (next.rows.count(key) == 0) {
        next.rows[key].index = next.next_index++;
        ++*made;
      }
    }
    return keys;
  }

  void Mput() {
    const std::string name = Name("p", 2);
    std::vector<std::string> words = {"KV.MPUT", name};
    ModelPartition next = partitions_.count(name) ? partitions_[name] : ModelPartition();
    std::string error;
    std::size_t made = 0;
    const std::vector<std::string> keys = PickRows(next, words, &made);
    std::map<std::string, std::string> dtypes;
    for (std::size_t c = Pick(3); c > 0; --c) {
      const Field field = PickField();
      if (dtypes.count(field.name) != 0) {
        continue;
      }
      dtypes[field.name] = field.dtype;
      Expect(next, field, &error);
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
        cells.push_back({shape, Bytes(Count(shape) * field.size)});
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
        next.rows[keys[i]].cells[field.name] =
            cells[with_dict ? static_cast<std::size_t>(dict[i]) : i];
      }
    }
    if (Pick(2) == 0) {
      words.insert(words.end(), {"TAGS", std::to_string(keys.size())});
      for (const std::string& key : keys) {
        words.push_back(Patch());
        MergePatch(next.rows[key].tag, json::parse(words.back()).as_object());
      }
    }
    Commit(name, std::move(next), dtypes, words, error, std::to_string(made));
  }

  void Same() {
    const std::string name = Name("p", 2);
    const std::string from = Name("k", 12);
    const std::string to = Name("k", 12);
    const std::string field = Name("f", 6);
    ModelPartition next = partitions_.count(name) ? partitions_[name] : ModelPartition();
    std::string error;
    if (next.rows.count(from) == 0) {
      error = "NOKEY";
    } else if (next.dtypes.count(field) == 0) {
      error = "NOFIELD";
    } else if (next.rows[from].cells.count(field) == 0) {
      error = "NOTREADY";
    }
    const bool is_new = next.rows.count(to) == 0;
    if (error.empty()) {
      const ModelCell cell = next.rows[from].cells[field];
      if (is_new) {
        next.rows[to].index = next.next_index++;
      }
      next.rows[to].cells[field] = cell;
    }
    const std::string dtype = next.dtypes[field];
    next.ForgetEmptyFields();
    Commit(name, std::move(next), {{field, dtype}},
           {"KV.PUT", name, to, "FIELD", field, "SAME", from}, error, is_new ? "1" : "0");
  }

  void ClearRows() {
    const std::string name = Name("p", 2);
    std::vector<std::string> words = {"KV.CLEAR", name, "KEYS", "3"};
    std::size_t removed = 0;
    for (int i = 0; i < 3; ++i) {
      words.push_back(Name("k", 12));
      removed += partitions_.count(name) != 0 ? partitions_[name].rows.erase(words.back()) : 0;
    }
    REQUIRE(Ask(words).text == std::to_string(removed));
    if (partitions_.count(name) != 0) {
      partitions_[name].ForgetEmptyFields();
    }
  }

  void ClearCells() {
    const std::string name = Name("p", 2);
    const std::string key = Name("k", 12);
    const std::string field = Name("f", 6);
    std::size_t removed = 0;
    if (partitions_.count(name) != 0 && partitions_[name].rows.count(key) != 0) {
      removed = partitions_[name].rows[key].cells.erase(field);
      partitions_[name].ForgetEmptyFields();
    }
    REQUIRE(Ask({"KV.CLEAR", name, "KEYS", "1", key, "FIELDS", "1", field}).text ==
            std::to_string(removed));
  }

  void ClearPartition() {
    if (Pick(4) != 0) {
      return;
    }
    const std::string name = Name("p", 2);
    const std::size_t rows = partitions_.count(name) != 0 ? partitions_[name].rows.size() : 0;
    REQUIRE(Ask({"KV.CLEAR", name}).text == std::to_string(rows));
    partitions_.erase(name);
  }

  void String() {
    const std::string key = Pick(5) == 0 ? Name("p", 2) : Name("s", 5);
    if (Pick(2) == 0) {
      const std::string value = Bytes(Pick(40000));
      const Value reply = Ask({"SET", key, value});
      if (partitions_.count(key) != 0) {
        REQUIRE(reply.text.starts_with("WRONGTYPE"));
      } else if (key[0] == 's') {
        strings_[key] = value;
      } else {  // a string under a partition's name: removed, so that the other commands continue
        REQUIRE(Ask({"KV.CLEAR", key}).text.starts_with("WRONGTYPE"));
        Ask({"FLUSHALL"});
        partitions_.clear();
        strings_.clear();
      }
      return;
    }
    const Value reply = Ask({"GET", key});
    if (partitions_.count(key) != 0) {
      REQUIRE(reply.text.starts_with("WRONGTYPE"));
    } else {
      const auto known = strings_.find(key);
      REQUIRE((reply.type == '_') == (known == strings_.end()));
      if (known != strings_.end()) {
        REQUIRE(reply.text == known->second);
      }
    }
  }

  void Compare() {
    CAPTURE(last_);
    REQUIRE(Ask({"DBSIZE"}).text == std::to_string(partitions_.size() + strings_.size()));
    for (const auto& [name, partition] : partitions_) {
      if (partition.rows.empty()) {
        continue;
      }
      std::vector<std::string> rows = AllRows("KV.MGET", name, partition);
      rows.insert(rows.end(), {"FORMAT", "rows"});
      CompareRows(partition, Ask(rows));
      CompareTags(partition, Ask(AllRows("KV.TAGS", name, partition)));
      CompareOneField(name, partition);
    }
  }

  // The command for all rows, and one that does not exist.
  static std::vector<std::string> AllRows(const char* command, const std::string& name,
                                          const ModelPartition& partition) {
    const std::string count = std::to_string(partition.rows.size() + 1);
    std::vector<std::string> words = {command, name, "KEYS", count};
    for (const auto& [key, row] : partition.rows) {
      words.push_back(key);
    }
    words.emplace_back("no such row");
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
  std::map<std::string, std::string> strings_;
  std::string last_;
};

}  // namespace sluice::tests
