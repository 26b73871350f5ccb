#include "tests/stream_model/stream_model.h"

#include <algorithm>
#include <limits>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace sluice::tests {
namespace {

namespace json = boost::json;

void MergePatch(json::object& target, const json::object& patch) {
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

bool SchemaAllows(const FieldSchema& field, const std::vector<std::int64_t>& dims) {
  if (field.name == "c") {
    return true;
  }
  if (field.dims.size() != dims.size()) {
    return false;
  }
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (field.dims[d] != -1 && field.dims[d] != dims[d]) {
      return false;
    }
  }
  return true;
}

// Compares two JSON values of one type; values that cannot be compared are unequal and not less.
bool Compare(const json::value& member, const std::string& op, const json::value& value) {
  const bool equal = member == value;
  if (op == "=" || op == "IN") {
    return equal;
  }
  if (op == "!=") {
    return !equal;
  }
  const auto ordered = [&op](const auto& a, const auto& b) {
    return op == "<" ? a < b : op == "<=" ? a <= b : op == ">" ? a > b : a >= b;
  };
  if (member.is_number() && value.is_number()) {
    return ordered(member.to_number<double>(), value.to_number<double>());
  }
  return member.is_string() && value.is_string() &&
         ordered(std::string(member.as_string()), std::string(value.as_string()));
}

// Numbers as doubles, so that 1 and 1.0 are the same.
json::value Plain(const json::value& value) {
  return value.is_number() ? json::value(value.to_number<double>()) : value;
}

bool Fits(const json::object& tag, const Condition& condition) {
  const json::value* const member = tag.if_contains(condition.name);
  const bool otherwise = condition.op == "!=";
  if (member == nullptr) {
    return otherwise;
  }
  if (condition.op == "IN") {
    const json::array values = json::parse(condition.value).as_array();
    return std::any_of(values.begin(), values.end(), [member](const json::value& value) {
      return Compare(Plain(*member), "IN", Plain(value));
    });
  }
  if (member->is_string()) {
    const std::string text(member->as_string());
    return condition.op == "PREFIX" ? text.starts_with(condition.value)
                                    : Compare(*member, condition.op, json::value(condition.value));
  }
  if (condition.op == "PREFIX") {
    return false;
  }
  json::error_code error;
  const json::value value = json::parse(condition.value, error);
  if (error || !member->is_number() || !value.is_number()) {
    return otherwise;
  }
  return Compare(Plain(*member), condition.op, Plain(value));
}

}  // namespace

bool Fits(const json::object& tag, const Where& where) {
  return std::all_of(where.begin(), where.end(),
                     [&tag](const Condition& condition) { return Fits(tag, condition); });
}

bool StreamRow::Ready(const Words& fields) const {
  return std::all_of(fields.begin(), fields.end(), [this](const std::string& field) {
    return cells.count(field) != 0 && cells.at(field).ready;
  });
}

std::optional<Index> StreamPartition::Find(const std::string& key) const {
  for (const auto& [index, row] : rows) {
    if (row.key == key) {
      return index;
    }
  }
  return std::nullopt;
}

const StreamCell* StreamPartition::CellOf(const std::string& key, const std::string& field) const {
  for (const auto& [index, row] : rows) {
    if (const auto cell = row.cells.find(field); row.key == key && cell != row.cells.end()) {
      return &cell->second;
    }
  }
  return nullptr;
}

Indexes StreamPartition::Choose(const RowList& list) const {
  Indexes chosen;
  if (list.keys) {
    for (const std::string& key : *list.keys) {
      if (const auto index = Find(key)) {
        chosen.push_back(*index);
      }
    }
  } else if (list.indexes) {
    for (const Index index : *list.indexes) {
      if (rows.count(index) != 0) {
        chosen.push_back(index);
      }
    }
  } else {
    for (const auto& [index, row] : rows) {
      if (Fits(row.tag, *list.where)) {
        chosen.push_back(index);
      }
    }
  }
  return chosen;
}

std::size_t StreamPartition::Remove(Index index) {
  for (auto& [name, task] : tasks) {
    task.consumed.erase(index);
    task.TakeFromLeases(index);
    for (auto& [id, step] : task.steps) {
      step.held.erase(index);
    }
  }
  return rows.erase(index);
}

std::int64_t StreamPartition::Bytes() const {
  std::size_t bytes = 0;
  for (const auto& [index, row] : rows) {
    for (const auto& [field, cell] : row.cells) {
      bytes += cell.bytes.size();
    }
  }
  return static_cast<std::int64_t>(bytes);
}

std::size_t StreamPartition::RowsToHold() const {
  auto limit = std::numeric_limits<std::int64_t>::max();
  if (autoevict && maxrows) {
    limit = *maxrows;
  }
  if (autoevict && maxbytes && !rows.empty()) {
    const auto row_bytes = Bytes() / static_cast<std::int64_t>(rows.size());
    limit = std::min(limit, *maxbytes / std::max<std::int64_t>(1, row_bytes));
  }
  return static_cast<std::size_t>(limit) / 2 / std::max<std::size_t>(1, named_tasks.size());
}

bool StreamPartition::Holds(const std::string& field) const {
  return std::any_of(rows.begin(), rows.end(),
                     [&field](const auto& row) { return row.second.cells.count(field) != 0; });
}

std::string StreamPartition::Forbids(const std::string& task, const Words& fields) const {
  if (strict && !named_tasks.empty() && named_tasks.count(task) == 0) {
    return "-NOTASK";
  }
  const bool known = std::all_of(fields.begin(), fields.end(), [this](const std::string& field) {
    return schema.count(field) != 0;
  });
  return strict && !schema.empty() && !known ? "-NOFIELD" : "";
}

std::string StreamModel::Problem(const WriteRequest& request) const {
  const auto found = partitions.find(request.partition);
  if (found == partitions.end()) {
    return "";
  }
  const StreamPartition& partition = found->second;
  auto rows = static_cast<std::int64_t>(partition.rows.size());
  std::int64_t bytes = partition.Bytes();
  bool grows = false;
  for (const RowWrite& row : request.rows) {
    const bool there = !row.key.empty() && partition.Find(row.key);
    grows = grows || !there;
    rows += there ? 0 : 1;
    for (const CellWrite& cell : row.cells) {
      const auto schema = partition.schema.find(cell.field);
      if (schema == partition.schema.end()) {
        if (partition.strict && !partition.schema.empty()) {
          return "-NOFIELD";
        }
      } else if (!SchemaAllows(schema->second, cell.dims)) {
        return "-SHAPE";
      }
      bytes += static_cast<std::int64_t>(cell.bytes.size());
      if (const StreamCell* const before = partition.CellOf(row.key, cell.field)) {
        bytes -= static_cast<std::int64_t>(before->bytes.size());
      }
    }
  }
  const bool full =
      (grows && partition.maxrows && rows > *partition.maxrows) ||
      (bytes > partition.Bytes() && partition.maxbytes && bytes > *partition.maxbytes);
  return full ? "-FULL" : "";
}

bool StreamModel::Waits(const WriteRequest& request) const {
  if (!request.block_ms || Problem(request) != "-FULL") {
    return false;
  }
  const StreamPartition& partition = partitions.at(request.partition);
  std::int64_t bytes = 0;
  for (const RowWrite& row : request.rows) {
    for (const CellWrite& cell : row.cells) {
      bytes += static_cast<std::int64_t>(cell.bytes.size());
    }
  }
  return (!partition.maxrows ||
          static_cast<std::int64_t>(request.rows.size()) <= *partition.maxrows) &&
         (!partition.maxbytes || bytes <= *partition.maxbytes);
}

// Returns the partition; creates it if it does not exist.
StreamPartition& StreamModel::Made(const std::string& name) {
  StreamPartition& partition = partitions[name];
  if (partition.number == 0) {
    partition.number = ++partitions_made_;
  }
  return partition;
}

std::string StreamModel::Write(const WriteRequest& request) {
  if (std::string problem = Problem(request); !problem.empty()) {
    return problem;
  }
  StreamPartition& partition = Made(request.partition);
  Indexes indexes;
  int made = 0;
  for (const RowWrite& row : request.rows) {
    auto index = row.key.empty() ? std::nullopt : partition.Find(row.key);
    if (!index) {
      ++made;
      index = partition.made++;
      partition.rows[*index].key = row.key.empty() ? std::to_string(*index) : row.key;
      partition.rows[*index].made_us = now_us;
    }
    indexes.push_back(*index);
    StreamRow& written = partition.rows[*index];
    if (row.tag) {
      MergePatch(written.tag, json::parse(*row.tag).as_object());
    }
    for (const CellWrite& cell : row.cells) {
      written.cells[cell.field] = {true, cell.dims, cell.bytes};
    }
  }
  const std::string count = std::to_string(made);
  return request.rows[0].key.empty() ? FlatList({count, Packed(indexes)}) : count;
}

// Dims of a rank-1 tensor or a byte string.
std::string StreamModel::Append(const AppendRequest& request) {
  WriteRequest whole{.partition = request.partition, .rows = {{.key = request.key}}};
  CellWrite cell = request.cell;
  if (const auto it = partitions.find(request.partition); it != partitions.end()) {
    if (const StreamCell* const before = it->second.CellOf(request.key, cell.field)) {
      cell.dims[0] += before->dims[0];
      cell.bytes = before->bytes + cell.bytes;
    }
  }
  whole.rows[0].cells = {cell};
  std::string answer = Write(whole);
  if (answer.starts_with('-')) {
    return answer;
  }
  StreamPartition& partition = partitions[request.partition];
  partition.rows[*partition.Find(request.key)].cells[cell.field].ready = !request.more;
  return std::to_string(cell.dims[0]);
}

std::string StreamModel::Clear(const std::string& name, const RowList& list, const Words& fields) {
  const auto found = partitions.find(name);
  if (found == partitions.end()) {
    return "0";
  }
  StreamPartition& partition = found->second;
  std::size_t removed = 0;
  for (const Index index : partition.Choose(list)) {
    for (const std::string& field : fields) {
      removed += partition.rows[index].cells.erase(field);
    }
    if (fields.empty()) {
      removed += partition.Remove(index);
    }
  }
  return std::to_string(removed);
}

std::string StreamModel::Drop(const std::string& partition) {
  const std::size_t rows = partitions.count(partition) == 0 ? 0 : partitions[partition].rows.size();
  partitions.erase(partition);
  return std::to_string(rows);
}

}  // namespace sluice::tests
