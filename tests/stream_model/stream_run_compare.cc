// StreamRun: compares the whole state of the server with the model's.
#include <algorithm>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {
namespace {

// Lists that the server returns in its own order, sorted by name.
std::string FlatInfo(const Value& info) {
  if (info.type == '-') {
    return Flat(info);
  }
  Value limits = *Member(info, "limits");
  Words flat_limits;
  for (std::size_t i = 0; i + 1 < limits.items.size(); i += 2) {
    const std::string& name = limits.items[i].text;
    const bool list = name == "tasks" || name == "fields";
    flat_limits.insert(flat_limits.end(),
                       {name, list ? FlatSorted(limits.items[i + 1]) : Flat(limits.items[i + 1])});
  }
  return FlatList({"rows", Flat(*Member(info, "rows")), "bytes", Flat(*Member(info, "bytes")),
                   "tasks", FlatByName(*Member(info, "tasks")), "limits", FlatList(flat_limits),
                   "made", Flat(*Member(info, "made"))});
}

}  // namespace

void StreamRun::CompareState() {
  log_.Expect("PARTITION.LIST", model_.ListPartitions(),
              FlatSorted(Ask(probe_, "probe", {"PARTITION.LIST"})));
  for (const std::string partition : {"p0", "p1", "p2"}) {
    log_.Expect("PARTITION.INFO", model_.Info(partition),
                FlatInfo(Ask(probe_, "probe", {"PARTITION.INFO", partition})));
    log_.Expect("TASK.LIST", model_.ListTasks(partition),
                FlatSorted(Ask(probe_, "probe", {"TASK.LIST", partition})));
    Words rows;
    if (const auto found = model_.partitions.find(partition); found != model_.partitions.end()) {
      for (const auto& [index, row] : found->second.rows) {
        rows.insert(rows.end(), {row.key, Canonical(boost::json::serialize(row.tag))});
      }
    }
    Value list = Ask(probe_, "probe", {"KV.LIST", partition});
    for (std::size_t i = 1; i < list.items.size(); i += 2) {
      list.items[i].text = Canonical(list.items[i].text);
    }
    log_.Expect("KV.LIST", FlatList(rows), Flat(list));
    for (const std::string task : {"t0", "t1", "t2"}) {
      CompareTask(partition, task);
    }
  }
}

void StreamRun::CompareTask(const std::string& partition, const std::string& task) {
  for (const std::string field : {"a", "b", "c"}) {
    const Words words = {"TASK.STATUS", partition, task, "FIELDS", "1", field, "BITMAP"};
    const Value reply = Ask(probe_, "probe", words);
    log_.Expect("TASK.STATUS", model_.Status(partition, task, Words{field}, true), Flat(reply));
    if (const std::string wrong = ledger_.Status(partition, task, reply); !wrong.empty()) {
      log_.Fail(wrong);
    }
  }
}

}  // namespace sluice::tests
