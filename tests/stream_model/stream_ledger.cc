#include "tests/stream_model/stream_ledger.h"

#include <algorithm>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/stream_model/stream_replies.h"

namespace sluice::tests {
namespace {

// The member of each row's tag that its group must share.
Words Members(const Value& tags, const std::string& name) {
  Words members;
  for (const Value& tag : tags.items) {
    const boost::json::value parsed = boost::json::parse(tag.text);
    const boost::json::value* const member = parsed.as_object().if_contains(name);
    members.push_back(member == nullptr ? "" : boost::json::serialize(*member));
  }
  return members;
}

std::string CheckGroups(const SamplerSpec& sampler, const Indexes& rows, const Value& tags) {
  if (rows.size() % sampler.size != 0) {
    return "half a group";
  }
  const auto size = static_cast<Index>(sampler.size);
  const Words members = sampler.by.empty() ? Words() : Members(tags, sampler.by);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t first = i / sampler.size * sampler.size;
    const auto at = static_cast<Index>(i - first);
    if (sampler.by.empty() ? rows[first] % size != 0 || rows[i] != rows[first] + at
                           : members[i] != members[first] || members[i].empty() ||
                                 (at > 0 && rows[i] <= rows[i - 1])) {
      return "not a group";
    }
  }
  return "";
}

std::size_t Number(const Value& status, const std::string& name) {
  return static_cast<std::size_t>(std::stol(Member(status, name)->text));
}

}  // namespace

bool StreamLedger::Dealt(const Task& task, std::int64_t step) {
  return std::any_of(task.steps.begin(), task.steps.end(),
                     [step](const auto& known) { return known.first.step == step; });
}

std::string StreamLedger::TakeOnce(Task& task, const Indexes& rows, const Value* lease) {
  for (const Index row : rows) {
    if (task.consumed.count(row) != 0) {
      return "row " + std::to_string(row) + " was consumed before";
    }
  }
  if (lease == nullptr) {
    task.consumed.insert(rows.begin(), rows.end());
  } else {
    task.leases[lease->text].insert(rows.begin(), rows.end());
  }
  return "";
}

std::string StreamLedger::Fetched(const FetchRequest& request, const Value& reply) {
  const Value* const found = Member(reply, "rows");
  if (found == nullptr || Member(reply, "end") != nullptr) {
    return "";
  }
  const Indexes rows = Unpacked(found->text);
  if (std::set<Index>(rows.begin(), rows.end()).size() != rows.size()) {
    return "a duplicate row";
  }
  Task& task = tasks_[{request.partition, request.task}];
  const auto before = request.step ? task.steps.find(*request.step) : task.steps.end();
  if (before != task.steps.end()) {
    Step& step = before->second;
    if (step.rows == rows) {
      step.may_be_forgotten = false;
      if (const Value* const lease = Member(reply, "lease")) {
        task.leases[lease->text].insert(rows.begin(), rows.end());
      }
      return "";
    }
    if (!step.may_be_forgotten) {
      return "the step had other rows before";
    }
  }
  const bool dealt_before =
      (before != task.steps.end() && before->second.rows.empty()) ||  // no reply
      (request.sampler.ranks > 1 && Dealt(task, request.step->step));
  if (request.step) {
    task.steps[*request.step] = {.rows = rows, .shared = request.sampler.ranks > 1};
  }
  // A share that another rank dealt may have new tags since.
  if (request.sampler.name == "group" ||
      (request.sampler.Grouped() && request.sampler.by.empty())) {
    if (std::string wrong = CheckGroups(request.sampler, rows, *Member(reply, "tags"));
        !wrong.empty()) {
      return wrong;
    }
  }
  if (dealt_before) {
    return "";  // the first call took these, whatever its options
  }
  if (request.keep) {
    Task looked_at = task;
    return TakeOnce(looked_at, rows, nullptr);
  }
  return TakeOnce(task, rows, Member(reply, "lease"));
}

void StreamLedger::NotTold(const FetchRequest& request) {
  if (request.step) {
    tasks_[{request.partition, request.task}].steps[*request.step].may_be_forgotten = true;
  }
}

std::string StreamLedger::Claimed(const ClaimRequest& request, const Value& reply) {
  const Value* const rows = Member(reply, "rows");
  return rows == nullptr ? ""
                         : TakeOnce(tasks_[{request.partition, request.task}], Unpacked(rows->text),
                                    Member(reply, "lease"));
}

void StreamLedger::Acked(const TaskRows& about, std::size_t count) {
  Task& task = tasks_[{about.partition, about.task}];
  std::set<Index> rows(about.rows.begin(), about.rows.end());
  if (about.lease) {
    std::erase_if(rows, [&](Index row) {
      return task.leases[*about.lease].count(row) == 0 || task.consumed.count(row) != 0;
    });
    if (rows.size() != count) {
      return;  // the lease no longer held all of them
    }
  }
  task.consumed.insert(rows.begin(), rows.end());
}

void StreamLedger::Released(const TaskRows& about) {
  Task& task = tasks_[{about.partition, about.task}];
  for (const Index row : about.rows) {
    if (!about.lease) {
      task.consumed.erase(row);
    }
    for (auto& [id, step] : task.steps) {
      step.may_be_forgotten |=
          step.shared || std::find(step.rows.begin(), step.rows.end(), row) != step.rows.end();
    }
  }
}

void StreamLedger::Reset(const std::string& partition, const std::optional<std::string>& task) {
  std::erase_if(tasks_, [&](const auto& entry) {
    return entry.first.first == partition && (!task || entry.first.second == *task);
  });
}

void StreamLedger::Dropped(const std::string& partition) {
  Reset(partition, std::nullopt);
}

std::string StreamLedger::Status(const std::string& partition, const std::string& task,
                                 const Value& reply) const {
  if (reply.type == '-') {
    return "";
  }
  if (Number(reply, "waiting") + Number(reply, "ready") + Number(reply, "leased") +
          Number(reply, "consumed") !=
      Number(reply, "total")) {
    return "waiting + ready + leased + consumed is not total";
  }
  const auto found = tasks_.find({partition, task});
  const Value* const rows = Member(reply, "rows");
  if (found == tasks_.end() || rows == nullptr) {
    return "";
  }
  const Indexes indexes = Unpacked(rows->text);
  const std::string& consumed = Member(reply, "consumed_rows")->text;
  for (std::size_t i = 0; i < indexes.size(); ++i) {
    if (found->second.consumed.count(indexes[i]) != 0 && consumed.at(i) != '\1') {
      return "row " + std::to_string(indexes[i]) + " was consumed and is shown as not";
    }
  }
  return "";
}

}  // namespace sluice::tests
