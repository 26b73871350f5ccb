// The sections Partitions and Tasks of INFO: the first partitions, by name.
#include <cstdint>
#include <iterator>
#include <string>

#include "controller/streams.h"
#include "server/reports/info.h"

namespace sluice::server {
namespace {

constexpr std::size_t kListedMax = 64;

// Escapes the characters at which clients split the line.
std::string Escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ',' || c == '=' || c == ':' || c == '%') {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

// Calls function(partition) for the first kListedMax partitions.
template <typename Function>
void ForFirst(const Context& context, const Function& function) {
  std::string from;
  for (std::size_t i = 0; i < kListedMax; ++i) {
    store::Partition* const partition =
        context.server.store(context.turn.Enter()).PartitionFrom(from);
    if (partition == nullptr) {
      return;
    }
    function(*partition);
    from = partition->Name().View();
    from += '\0';  // the smallest name after this one
  }
}

}  // namespace

void PartitionsSection(const Context& context, fmt::memory_buffer& out) {
  fmt::format_to(std::back_inserter(out), "partitions:{}\r\n",
                 context.server.store(context.turn.Enter()).Partitions());
  std::size_t number = 0;
  ForFirst(context, [&](store::Partition& partition) {
    controller::Stream* const stream = controller::Streams::Find(partition);
    fmt::format_to(std::back_inserter(out),
                   "partition{}:rows={},made={},bytes={},tasks={},waiters={},name={}\r\n", number++,
                   partition.Rows(), partition.RowsMade(), partition.ValueBytes(),
                   stream == nullptr ? 0 : stream->Tasks().Tasks().size(),
                   stream == nullptr ? 0 : stream->Tasks().Waiters(),
                   Escaped(partition.Name().View()));
  });
}

void TasksSection(const Context& context, fmt::memory_buffer& out) {
  const std::int64_t now_ms = context.server.store(context.turn.Enter()).NowMs();
  std::size_t number = 0;
  ForFirst(context, [&](store::Partition& partition) {
    controller::Stream* const stream = controller::Streams::Find(partition);
    if (stream == nullptr) {
      return;
    }
    for (const auto& [name, task] : stream->Tasks().Tasks()) {
      if (number == kListedMax) {
        return;
      }
      const controller::Leases& leases = task->GetLeases();
      fmt::format_to(std::back_inserter(out),
                     "task{}:consumed={},leased={},leases={},waiters={},oldest_unconsumed_ms={},"
                     "partition={},name={}\r\n",
                     number++, task->Consumed().Count(), leases.Rows(), leases.Count(),
                     task->Waiters(), stream->OldestUnconsumedMs(*task, now_ms).value_or(0),
                     Escaped(partition.Name().View()), Escaped(name));
    }
  });
}

}  // namespace sluice::server
