#include "tests/stream_model/stream_picks.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::tests {
namespace {

constexpr std::size_t kKeys = 24;
constexpr std::size_t kRowsToHave = 26;

}  // namespace

Words StreamPicks::PickFields() {
  static const std::vector<Words> kFields = {{"a"}, {"a"}, {"a"}, {"a"}, {"a", "b"}, {"c", "a"}};
  return OneOf(kFields);
}

Where StreamPicks::PickWhere() {
  static const std::vector<Condition> kConditions = {
      {"s", "=", "x"},          {"s", "!=", "y"},         {"s", "PREFIX", "x"}, {"s", ">=", "xy"},
      {"v", ">=", "2"},         {"v", "<", "3.5"},        {"v", "!=", "1"},     {"g", "=", "1"},
      {"g", "IN", "[0,\"q\"]"}, {"v", "IN", "[1,2.0,4]"}, {"w", ">", "0"},      {"w", "=", "no"},
      {"v", "!=", "9"},  // matches all rows
  };
  Where where = {OneOf(kConditions)};
  if (Chance(20)) {
    where.push_back(OneOf(kConditions));
  }
  return where;
}

std::string StreamPicks::PickTag() {
  static const std::vector<std::string> kGroups = {"0", "1", "2", "\"q\"", "null"};
  static const std::vector<std::string> kWeights = {"0",    "1",  "2", "5",      "0.5",
                                                    "3.25", "-1", "7", "\"no\"", "null"};
  static const std::vector<std::string> kStates = {"\"x\"", "\"y\"", "\"xy\""};
  Words members;
  if (Chance(60)) {
    members.push_back("\"g\":" + OneOf(kGroups));
  }
  if (Chance(60)) {
    members.push_back("\"w\":" + OneOf(kWeights));
  }
  if (Chance(50)) {
    members.push_back("\"s\":" + OneOf(kStates));
  }
  if (Chance(40)) {
    members.push_back("\"v\":" + std::to_string(Pick(6)));
  }
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

CellWrite StreamPicks::PickCell(const std::string& field) {
  if (field == "b") {
    return {field, {}, Bytes(1)};
  }
  const std::size_t length = Pick(4) + (Chance(90) ? 1 : 0);
  return {field,
          {static_cast<std::int64_t>(length)},
          field == "a" ? Bytes(length * 4) : std::string(length, 'z')};
}

bool StreamPicks::Crowded(const std::string& partition) const {
  const auto found = model_.partitions.find(partition);
  return found != model_.partitions.end() && found->second.rows.size() > kRowsToHave;
}

WriteRequest StreamPicks::PickPut() {
  WriteRequest request{.partition = PickPartition(), .rows = {{.key = Name("k", kKeys)}}};
  RowWrite& row = request.rows[0];
  for (const std::string field : {"a", "b", "c"}) {
    if (Chance(field == "a" ? 80 : 55)) {
      row.cells.push_back(PickCell(field));
    }
  }
  if (row.cells.empty() || Chance(60)) {
    row.tag = PickTag();
  }
  return request;
}

WriteRequest StreamPicks::PickNewRows() {
  WriteRequest request{.partition = PickPartition(), .rows = {}};
  const WriteRequest pattern = PickPut();
  for (std::size_t n = Pick(4) + 1; n > 0; --n) {
    RowWrite& row = request.rows.emplace_back();
    for (const CellWrite& cell : pattern.rows[0].cells) {
      row.cells.push_back(cell);
      if (cell.field == "c") {
        row.cells.back() = PickCell("c");
      } else {
        row.cells.back().bytes = Bytes(cell.bytes.size());
      }
    }
    if (pattern.rows[0].tag) {
      row.tag = PickTag();
    }
  }
  return request;
}

AppendRequest StreamPicks::PickAppend() {
  return {.partition = PickPartition(),
          .key = Name("k", kKeys),
          .cell = PickCell(Chance(70) ? "a" : "c"),
          .more = Chance(40)};
}

RowList StreamPicks::PickRows(const std::string& partition, const std::string& task) {
  const auto found = model_.partitions.find(partition);
  Indexes rows;
  Words keys;
  if (found != model_.partitions.end() && !found->second.rows.empty()) {
    const auto of_task = found->second.tasks.find(task);
    if (of_task != found->second.tasks.end() && !of_task->second.leases.empty() && Chance(50)) {
      const auto& leases = of_task->second.leases;  // rows of one lease
      const auto lease =
          std::next(leases.begin(), static_cast<std::ptrdiff_t>(Pick(leases.size())));
      rows.assign(lease->second.rows.begin(), lease->second.rows.end());
    }
    for (std::size_t n = Pick(Crowded(partition) ? 12 : 4) + 1; n > 0; --n) {
      const auto row = std::next(found->second.rows.begin(),
                                 static_cast<std::ptrdiff_t>(Pick(found->second.rows.size())));
      rows.push_back(row->first);
    }
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    std::shuffle(rows.begin(), rows.end(), random_);
    for (const Index row : rows) {
      keys.push_back(found->second.rows.at(row).key);
    }
  }
  if (rows.empty() || Chance(15)) {
    rows.push_back(100000);
    keys.emplace_back("nobody");
  }
  switch (Pick(5)) {
    case 0:
      return {.keys = {}, .indexes = {}, .where = PickWhere()};
    case 1:
    case 2:
      return {.keys = keys, .indexes = {}, .where = {}};
    default:
      return {.keys = {}, .indexes = rows, .where = {}};
  }
}

std::string StreamPicks::PickLease(const std::string& partition, const std::string& task) {
  const auto found = model_.partitions.find(partition);
  if (found != model_.partitions.end() && found->second.tasks.count(task) != 0 && Chance(85)) {
    Words ids;
    for (const auto& [number, lease] : found->second.tasks.at(task).leases) {
      if (!lease.id.empty()) {
        ids.push_back(lease.id);
      }
    }
    if (!ids.empty()) {
      return OneOf(ids);
    }
  }
  return lease_ids_.empty() || Chance(10) ? "987654321" : OneOf(lease_ids_);
}

ClaimRequest StreamPicks::PickClaim() {
  const std::string partition = PickPartition();
  const std::string task = PickTask();
  ClaimRequest request{.partition = partition,
                       .task = task,
                       .rows = PickRows(partition, task),
                       .fields = PickFields()};
  request.lease_ms = Chance(50) ? std::optional(Between(1, 12) * 5) : std::nullopt;
  request.bound = request.lease_ms && Chance(30);
  request.all = Chance(30);
  return request;
}

CreateRequest StreamPicks::PickCreate() {
  CreateRequest request{.partition = PickPartition()};
  const auto found = model_.partitions.find(request.partition);
  const bool there = found != model_.partitions.end();
  if (Chance(60)) {
    request.expect =
        Chance(15) ? 0 : Between(0, Chance(50) ? 1 : 7) + (there ? found->second.made : 1);
  }
  if (Chance(30)) {
    request.maxrows = Chance(40) ? 0 : Between(15, 30);
  }
  if (Chance(20)) {
    request.maxbytes = Chance(50) ? 0 : Between(150, 400);
  }
  if (Chance(15)) {
    request.tasks = Chance(50) ? Words{"t0", "t1"} : Words{"t1"};
    request.autoevict = Chance(60);
  } else {
    request.autoevict = Chance(5);
  }
  if (!there && Chance(25)) {
    request.fields = {{"a", "int32", {Chance(70) ? -1 : 2}}, {"b", "int8", {}}};
  }
  request.strict = Chance(there ? 1 : request.fields.empty() ? 8 : 45);
  return request;
}

}  // namespace sluice::tests
