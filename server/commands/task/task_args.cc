#include "server/commands/task/task_args.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "server/dispatch/dispatch.h"

namespace sluice::server {
namespace {

using controller::SamplerChoice;
using controller::SamplerRow;

constexpr std::int64_t kRowsMax = store::kRowsPerWriteMax;
constexpr std::int64_t kRanksMax = controller::Steps::kRanksMax;

Status Syntax(std::string_view text) {
  return Status(Code::kError, fmt::format("syntax error: {}", text));
}

std::string ReadTag(ArgReader& args) {
  return std::string(args.Name("tag"));
}

struct SamplerOptionsSeen {
  bool size = false;
  bool by = false;
  bool ranks = false;
  bool weight = false;
  bool seed = false;
  bool tokens = false;
};

// Reads an option of the sampler, if one is next.
bool ReadSamplerOption(ArgReader& args, SamplerChoice& choice, SamplerOptionsSeen& seen) {
  const SamplerRow& row = *choice.row;
  const auto takes = [&](std::string_view option, bool known, bool& given) {
    if (!args.Option(option)) {
      return false;
    }
    if (!known) {
      args.Fail(
          Status(Code::kError, fmt::format("sampler '{}' does not take {}", row.name, option)));
    }
    ReadOnce(args, given, option);
    return true;
  };
  if (takes("SIZE", row.size, seen.size)) {
    choice.size = args.Number("SIZE", {.min = 1, .max = kRowsMax});
  } else if (takes("BY", row.by, seen.by)) {
    choice.by = ReadTag(args);
  } else if (takes("RANKS", row.ranks, seen.ranks)) {
    choice.ranks = args.Number("RANKS", {.min = 1, .max = kRanksMax});
  } else if (takes("WEIGHT", row.weight, seen.weight)) {
    choice.weight = ReadTag(args);
  } else if (takes("SEED", row.seed, seen.seed)) {
    choice.seed = static_cast<std::uint64_t>(args.Number("SEED"));
  } else if (takes("TOKENS", row.tokens, seen.tokens)) {
    choice.tokens = args.Number("TOKENS", {.min = 1});
  } else if (takes("UNDERFILL", row.tokens, choice.underfill)) {
    return true;
  } else {
    return false;
  }
  return true;
}

// Reads `<name> [<option> <value> ...]`, after SAMPLER.
SamplerChoice ReadSampler(ArgReader& args) {
  SamplerChoice choice;
  const std::string_view name = args.Word("the sampler");
  choice.row = controller::FindSampler(name);
  if (args.ok() && choice.row == nullptr) {
    std::string known;
    for (const SamplerRow& row : controller::Samplers()) {
      known += fmt::format("{}{}", known.empty() ? "" : " ", row.name);
    }
    args.Fail(Status(Code::kError,
                     fmt::format("unknown sampler '{}', expected {}", Printable(name), known)));
  }
  SamplerOptionsSeen seen;
  while (args.HasMore() && ReadSamplerOption(args, choice, seen)) {
  }
  if (!args.ok()) {
    return choice;
  }
  const auto needs = [&](bool wanted, bool given, std::string_view option) {
    if (wanted && !given) {
      args.Fail(
          Status(Code::kError, fmt::format("sampler '{}' requires {}", choice.row->name, option)));
    }
  };
  needs(choice.row->needs_size, seen.size, "SIZE");
  needs(choice.row->needs_ranks, seen.ranks, "RANKS");
  needs(choice.row->needs_weight, seen.weight, "WEIGHT");
  needs(choice.row->tokens, seen.tokens, "TOKENS");
  return choice;
}

// Checks the options against each other.
void CheckFetch(ArgReader& args, const FetchArgs& read, bool has_rank, bool has_step) {
  const controller::Fetch& fetch = read.fetch;
  const SamplerRow& row = *fetch.sampler.row;
  const bool shared = row.needs_ranks || fetch.sampler.ranks > 1;
  if (fetch.selection.fields.empty() || fetch.count == 0) {
    args.Fail(Syntax("expected FIELDS and COUNT"));
  } else if (fetch.min > fetch.count) {
    args.Fail(
        Status(Code::kError, fmt::format("MIN {} is more than COUNT {}", fetch.min, fetch.count)));
  } else if (has_rank != has_step) {
    args.Fail(Syntax("RANK and STEP require each other"));
  } else if ((row.needs_step || shared) && !has_rank) {
    args.Fail(Status(Code::kError, fmt::format("sampler '{}' requires RANK and STEP{}", row.name,
                                               row.needs_step ? "" : " with RANKS")));
  } else if (shared && fetch.step && fetch.step->rank >= fetch.sampler.ranks) {
    args.Fail(Status(Code::kError, fmt::format("RANK {} is not below RANKS {}", fetch.step->rank,
                                               fetch.sampler.ranks)));
  } else if (fetch.sampler.tokens > 0 && fetch.count < fetch.sampler.size) {
    args.Fail(Status(Code::kError, fmt::format("COUNT {} is less than SIZE {}", fetch.count,
                                               fetch.sampler.size)));
  } else if (fetch.sampler.tokens == 0 && fetch.count % fetch.sampler.size != 0) {
    args.Fail(Status(Code::kError, fmt::format("COUNT {} is not a multiple of SIZE {}", fetch.count,
                                               fetch.sampler.size)));
  } else if (fetch.keep && fetch.lease) {
    args.Fail(Syntax("KEEP and LEASE cannot be combined"));
  }
  CheckFormat(args, read.format);
}

}  // namespace

void ReadSelectedFields(Context& context, ArgReader& args, controller::Selection& selection) {
  ReadFields(context, args);
  selection.fields.assign(context.scratch.fields.begin(), context.scratch.fields.end());
}

void ReadSelectedWhere(ArgReader& args, controller::Selection& selection) {
  ArgReader again = args;
  selection.where = ReadWhere(args);
  for (std::size_t left = again.Left(); args.ok() && left > args.Left(); --left) {
    const std::string_view word = again.Word("");
    selection.where_text += fmt::format("{}:{} ", word.size(), word);
  }
}

controller::LeaseTerms ReadLease(Context& context, ArgReader& args) {
  controller::LeaseTerms terms;
  terms.ms = args.Number("LEASE", {.min = 1});
  if (args.Option("BOUND")) {
    terms.connection = context.connection.id;
    context.connection.has_leases = true;
  }
  return terms;
}

controller::LeaseId ReadLeaseId(ArgReader& args) {
  return args.Option("LEASE") ? args.Number("LEASE", {.min = 1}) : 0;
}

void ReadFetch(Context& context, ArgReader& args, FetchArgs& read) {
  controller::Fetch& fetch = read.fetch;
  read.partition = args.Name("partition");
  fetch.task = args.Name("task");
  fetch.sampler.row = controller::FindSampler("sequential");
  struct {
    bool fields, count, min, sampler, where, rank, step, lease;
  } seen = {};
  controller::RankStep at;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, seen.fields, "FIELDS");
      ReadSelectedFields(context, args, fetch.selection);
    } else if (args.Option("COUNT")) {
      ReadOnce(args, seen.count, "COUNT");
      fetch.count = args.Number("COUNT", {.min = 1, .max = kRowsMax});
    } else if (args.Option("MIN")) {
      ReadOnce(args, seen.min, "MIN");
      fetch.min = args.Number("MIN", {.min = 1, .max = kRowsMax});
    } else if (args.Option("SAMPLER")) {
      ReadOnce(args, seen.sampler, "SAMPLER");
      fetch.sampler = ReadSampler(args);
    } else if (args.Option("WHERE")) {
      ReadOnce(args, seen.where, "WHERE");
      ReadSelectedWhere(args, fetch.selection);
    } else if (args.Option("RANK")) {
      ReadOnce(args, seen.rank, "RANK");
      at.rank = args.Number("RANK", {.min = 0, .max = kRanksMax - 1});
    } else if (args.Option("STEP")) {
      ReadOnce(args, seen.step, "STEP");
      at.step = args.Number("STEP", {.min = 0});
    } else if (args.Option("LEASE")) {
      ReadOnce(args, seen.lease, "LEASE");
      fetch.lease = ReadLease(context, args);
    } else if (args.Option("KEEP")) {
      ReadOnce(args, fetch.keep, "KEEP");
    } else if (!ReadBlock(args, read.block) && !ReadFormatOption(args, read.format)) {
      args.Unexpected();
    }
  }
  if (!args.ok()) {
    return;
  }
  fetch.min = seen.min ? fetch.min : fetch.count;
  fetch.last = fetch.min;
  if (fetch.sampler.tokens > 0) {
    fetch.sampler.count = fetch.count;
    fetch.last = seen.min ? fetch.min : 1;
  }
  if (seen.rank && seen.step) {
    fetch.step = at;
  }
  CheckFetch(args, read, seen.rank, seen.step);
}

Result<controller::Stream*> EnterStream(Context& context, std::string_view partition) {
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(store::Partition* const found, context.server.store(lock).FindPartition(partition));
  if (found == nullptr) {
    return Status(Code::kNoPartition, fmt::format("partition '{}' does not exist", partition));
  }
  return &context.server.streams.Of(lock, *found);
}

Result<controller::Task*> FindTask(controller::Stream& stream, std::string_view name) {
  controller::Task* const task = stream.Tasks().FindTask(name);
  if (task == nullptr) {
    return Status(Code::kNoTask, fmt::format("partition '{}' has no task '{}'",
                                             stream.GetPartition().Name().View(), name));
  }
  return task;
}

Result<controller::Task*> GetTask(Context& context, controller::Stream& stream,
                                  std::string_view name) {
  controller::Task* const known = stream.Tasks().FindTask(name);
  if (known != nullptr) {
    return known;
  }
  TRY(controller::CheckTask(stream.GetPartition(), name));
  TRY(CheckMemory(context));
  return &stream.Tasks().GetTask(name);
}

controller::Stream* StreamOf(engine::EngineLock& lock, Server& server, std::string_view partition,
                             std::int64_t incarnation) {
  auto found = server.store(lock).FindPartition(partition);
  store::Partition* const now = found.ok() ? *found : nullptr;
  return now == nullptr || now->Incarnation() != incarnation ? nullptr
                                                             : controller::Streams::Find(*now);
}

NewTask::~NewTask() {
  if (!is_new_) {
    return;
  }
  engine::EngineLock& lock = context_.turn.Enter();
  if (controller::Stream* const stream =
          StreamOf(lock, context_.server, partition_.View(), incarnation_)) {
    stream->Tasks().ForgetUnused(name_);
  }
}

Result<bool> StepTask(Context& context, controller::Stream& stream, const StepWanted& wanted,
                      bool& is_new) {
  const controller::Fetch* const fetch = wanted.fetch;
  NewTask made(context, stream, wanted.task, is_new);
  TRY(controller::CheckTask(stream.GetPartition(), wanted.task));
  TRY(controller::CheckFields(stream.GetPartition(), wanted.selection->fields));
  TRY_ASSIGN(controller::Task* const task, GetTask(context, stream, wanted.task));
  bool more = false;
  if (fetch == nullptr || stream.Tasks().Samples(*fetch)) {
    more = stream.Tasks().Prepare(*task, *wanted.selection,
                                  fetch == nullptr ? nullptr : &fetch->sampler);
  }
  is_new = made.Keep();
  return more;
}

Result<StreamAndTask> EnterTask(Context& context, std::string_view partition,
                                const StepWanted& wanted) {
  for (bool is_new = false;;) {
    TRY_ASSIGN(controller::Stream* const stream, EnterStream(context, partition));
    TRY_ASSIGN(const bool more, StepTask(context, *stream, wanted, is_new));
    if (!more) {
      return StreamAndTask{
          .stream = stream, .task = stream->Tasks().FindTask(wanted.task), .is_new = is_new};
    }
    LeaveFor(context, *stream);
  }
}

void LeaveFor(Context& context, controller::Stream& stream) {
  const controller::Retired::All retired = stream.Tasks().TakeRetired();
  context.turn.Leave();
}

Status IndexesOf(Context& context, controller::Stream& stream, const store::RowSet& rows) {
  TRY(stream.GetPartition().CheckIncarnation(rows));
  std::vector<RowIndex>& indexes = context.scratch.indexes;
  if (rows.kind == store::RowSet::Kind::kIndexes) {
    if (rows.indexes.data() != indexes.data()) {  // otherwise they are already there
      indexes.assign(rows.indexes.begin(), rows.indexes.end());
    }
    return {};
  }
  for (const std::string_view key : rows.keys) {
    const store::RowReference place = stream.GetPartition().Locate(key);
    if (place.segment != nullptr) {
      indexes.push_back(place.index);
    }
  }
  return {};
}

}  // namespace sluice::server
