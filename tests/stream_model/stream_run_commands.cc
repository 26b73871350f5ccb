// StreamRun: random commands, and the model's replies.
#include <algorithm>

#include <boost/json/parse.hpp>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {

StreamRun::Command StreamRun::Same(const Words& words, const std::function<std::string()>& model) {
  return {.words = words, .judge = [this, words, model](const Value& reply) {
            log_.Expect(words[0], model(), Flat(reply));
          }};
}

StreamRun::Command StreamRun::PickCommand(std::size_t client) {
  const std::size_t what = Pick(100);
  if (what < 30) {
    return PickWriteCommand();
  }
  if (what < 36) {
    return PickClearCommand();
  }
  if (what < 64) {
    return FetchCommand();
  }
  if (what < 80) {
    return PickTaskCommand();
  }
  if (what < 84) {
    return ClaimCommand(client);
  }
  return what < 94 ? PickLookCommand() : PickPartitionCommand();
}

StreamRun::Command StreamRun::PickWriteCommand() {
  const std::size_t what = Pick(10);
  if (what < 2) {
    const AppendRequest request = PickAppend();
    return Same(request.ToWords(), [this, request] { return model_.Append(request); });
  }
  WriteRequest request = what < 5 ? PickNewRows() : PickPut();
  if (Chance(20)) {
    request.block_ms = Between(0, 6) * 10;
  }
  Command command = Same(request.ToWords(), [this, request] { return model_.Write(request); });
  command.write = request;
  return command;
}

StreamRun::Command StreamRun::PickClearCommand() {
  const std::string partition = PickPartition();
  const std::size_t what = Pick(20);
  if (what < 2) {
    const bool del = what == 0;
    return {.words = {del ? "DEL" : "KV.CLEAR", partition}, .judge = [=, this](const Value& reply) {
              const bool there = model_.partitions.count(partition) != 0;
              const std::string rows = model_.Drop(partition);
              log_.Expect("removed", del ? (there ? "1" : "0") : rows, Flat(reply));
              ledger_.Dropped(partition);
            }};
  }
  const RowList rows = PickRows(partition, PickTask());
  const Words fields = what < 6 ? PickFields() : Words();
  Words words = {"KV.CLEAR", partition};
  AddRows(words, rows);
  if (!fields.empty()) {
    words.push_back("FIELDS");
    AddList(words, fields);
  }
  return Same(words, [=, this] { return model_.Clear(partition, rows, fields); });
}

StreamRun::Command StreamRun::FetchCommand() {
  const FetchRequest request = PickFetch();
  return {.words = request.ToWords(), .judge = {}, .fetch = request};
}

StreamRun::Command StreamRun::ClaimCommand(std::size_t client) {
  const ClaimRequest request = PickClaim();
  return {.words = request.ToWords(),
          .judge = [=, this](const Value& reply) { JudgeClaim(client, request, reply); }};
}

// TASK.ACK or TASK.RELEASE.
StreamRun::Command StreamRun::AckCommand(bool release) {
  const TaskId of = {PickPartition(), PickTask()};
  const RowList rows = PickRows(of.partition, of.task);
  const auto lease = Chance(60) ? std::optional(PickLease(of.partition, of.task)) : std::nullopt;
  Words words = {release ? "TASK.RELEASE" : "TASK.ACK", of.partition, of.task};
  AddRows(words, rows);
  if (lease) {
    words.insert(words.end(), {"LEASE", *lease});
  }
  return {.words = words, .judge = [=, this](const Value& reply) {
            const auto partition = model_.partitions.find(of.partition);
            TaskRows about = {of.partition, of.task, {}, lease};
            if (partition != model_.partitions.end()) {
              about.rows = partition->second.Choose(rows);
            }
            const std::string expected = release
                                             ? model_.Release(of.partition, of.task, rows, lease)
                                             : model_.Ack(of.partition, of.task, rows, lease);
            log_.Expect(words[0], expected, Flat(reply));
            if (release) {
              ledger_.Released(about);
            } else if (reply.type == ':') {
              ledger_.Acked(about, static_cast<std::size_t>(std::stol(reply.text)));
            }
          }};
}

StreamRun::Command StreamRun::PickTaskCommand() {
  const std::string partition = PickPartition();
  const std::string task = PickTask();
  switch (Pick(12)) {
    case 0:
    case 1: {
      const std::string lease = PickLease(partition, task);
      const std::int64_t ms = Between(1, 120);
      return Same({"TASK.RENEW", partition, task, "LEASE", lease, std::to_string(ms)},
                  [=, this] { return model_.Renew(partition, task, lease, ms); });
    }
    case 2: {
      const auto only = Chance(70) ? std::optional(task) : std::nullopt;
      Words words = {"TASK.RESET", partition};
      if (only) {
        words.push_back(task);
      }
      return {.words = words, .judge = [=, this](const Value& reply) {
                log_.Expect("reset", model_.Reset(partition, only), Flat(reply));
                ledger_.Reset(partition, only);
              }};
    }
    case 3:
    case 4:
    case 5:
    case 6:
      return AckCommand(true);
    default:
      return AckCommand(false);
  }
}

StreamRun::Command StreamRun::ExplainCommand() {
  FetchRequest request = PickFetch();
  const Words words = request.ToWords("TASK.EXPLAIN");
  request.format.clear();  // this test concerns the rows
  return {.words = words, .judge = [=, this](const Value& reply) {
            const bool there = model_.partitions.count(request.partition) != 0;
            const std::string forbidden =
                there ? model_.partitions[request.partition].Forbids(request.task, request.fields)
                      : "-NOPARTITION";
            if (request.Wrong() || !forbidden.empty()) {
              log_.Expect("explain", request.Wrong() ? "-ERR" : forbidden, Flat(reply));
              return;
            }
            const Plan plan = model_.PlanFetch(request, !request.block_ms);
            std::string text = Flat(reply);
            bool ok = false;
            while (!text.empty()) {
              const std::string line = text.substr(0, text.find('\n'));
              text.erase(0, line.size() + 1);
              const std::string word = line.substr(0, line.find_first_of(" :"));
              ok = ok || word == "ok";
              static const std::set<std::string> kWords = {"missing", "consumed", "leased", "where",
                                                           "sampler", "expect",   "ok"};
              if (kWords.count(word) == 0) {
                log_.Fail("no such reason: " + word);
              }
            }
            log_.Expect("explain", plan.kind == Plan::Kind::kRows ? "ok" : "a reason",
                        ok ? "ok" : "a reason");
          }};
}

StreamRun::Command StreamRun::PickLookCommand() {
  const std::string partition = PickPartition();
  const std::string task = PickTask();
  const Words fields = PickFields();
  switch (Pick(5)) {
    case 0: {
      const bool with_fields = Chance(50);
      const bool bitmap = Chance(50);
      Words words = {"TASK.STATUS", partition, task};
      if (with_fields) {
        words.push_back("FIELDS");
        AddList(words, fields);
      }
      if (bitmap) {
        words.push_back("BITMAP");
      }
      return Same(words, [=, this] {
        return model_.Status(partition, task, with_fields ? std::optional(fields) : std::nullopt,
                             bitmap);
      });
    }
    case 1: {
      Words words = {"PARTITION.READY", partition, "FIELDS"};
      AddList(words, fields);
      return Same(words, [=, this] { return model_.ReadyRows(partition, fields); });
    }
    case 2:
    case 3: {
      const Where where = Chance(40) ? PickWhere() : Where();
      Words words = {"TASK.READY", partition, task, "FIELDS"};
      AddList(words, fields);
      AddWhere(words, where);
      return Same(words, [=, this] { return model_.Ready(partition, task, fields, where); });
    }
    default:
      return ExplainCommand();
  }
}

StreamRun::Command StreamRun::PickPartitionCommand() {
  if (Chance(60)) {
    const CreateRequest request = PickCreate();
    return Same(request.ToWords(), [=, this] { return model_.Create(request); });
  }
  const std::string partition = PickPartition();
  Words tasks = {PickTask()};
  if (Chance(40)) {
    tasks.push_back(tasks[0] == "t0" ? "t1" : "t0");
  }
  Words words = {"PARTITION.EVICT", partition};
  words.insert(words.end(), tasks.begin(), tasks.end());
  return Same(words, [=, this] { return model_.Evict(partition, tasks); });
}

}  // namespace sluice::tests
