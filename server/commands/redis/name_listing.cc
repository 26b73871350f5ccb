#include "server/commands/redis/name_listing.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/arguments/glob.h"

namespace sluice::server {
namespace {

constexpr std::size_t kNamesAtOnce = 512;  // in one hold of the engine lock
constexpr std::size_t kWrittenAtOnce = 4096;
constexpr std::size_t kSlackBytes = std::size_t{5} * 1024;  // headers and the end of a block

}  // namespace

NameListing::NameListing(engine::Engine& engine, const Clock& clock,
                         engine::Guarded<store::Store> store, NameFilter filter, const Page& page)
    : engine_(engine), clock_(clock), store_(store), filter_(std::move(filter)), page_(page) {}

bool NameListing::Fits(const store::NamePage::Listed& listed) const {
  return (!filter_.kind || *filter_.kind == listed.kind) &&
         (!filter_.glob || GlobMatches(*filter_.glob, listed.name.View()));
}

bool NameListing::Look(engine::Engine::Turn& turn) {
  fetched_.names.clear();
  const std::size_t count = std::min(page_.names_max, kNamesAtOnce);
  fetched_.names.reserve(count);
  store_(turn.Enter()).ListNames(page_.from, count, fetched_);
  turn.Leave();
  page_.from = fetched_.next;
  page_.names_max -= count;
  for (const store::NamePage::Listed& listed : fetched_.names) {
    if (Fits(listed)) {
      fit_.push_back(listed.name);
    }
  }
  looking_ = page_.names_max > 0 && page_.from != store::NameTable::kEnd;
  return looking_;
}

bool NameListing::Write(resp::Reply& reply) {
  if (looking_) {
    engine::Engine::Turn turn(engine_, clock_);
    Look(turn);
    return true;
  }
  if (!head_written_) {
    head_written_ = true;
    if (page_.with_cursor) {
      reply.Array(2);
      reply.Bulk(fmt::format_int(page_.from == store::NameTable::kEnd ? 0 : page_.from).c_str());
    }
    reply.Array(fit_.size());
  }
  const std::size_t end = std::min(fit_.size(), written_ + kWrittenAtOnce);
  for (; written_ < end; ++written_) {
    const std::string_view name = fit_[written_].View();
    if (!reply.MakeSpace(name.size() + kSlackBytes) && reply.PendingBytes() > 0) {
      break;  // continue when the pending output has shrunk
    }
    reply.Bulk(name);
  }
  return written_ < fit_.size();
}

}  // namespace sluice::server
