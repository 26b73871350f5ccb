#include "server/commands/rows/row_listing.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/arguments/glob.h"
#include "store/tags/json_text.h"

namespace sluice::server {
namespace {

using store::Row;

constexpr std::size_t kRowsAtOnce = 2048;
constexpr std::size_t kSlackBytes = std::size_t{9} * 1024;  // headers and the end of a block

std::string_view TagOf(const Row& row) {
  return row.tag.IsNull() ? std::string_view("{}") : row.tag.View();
}

}  // namespace

bool RowListing::Write(resp::Reply& reply) {
  if (state_ == State::kLooking) {
    // The first call completes a small listing.
    const std::size_t looked_at_max = segment_ + 2;
    while (segment_ < snapshot_.segments.size() && segment_ < looked_at_max) {
      LookAtSegment();
    }
    if (segment_ < snapshot_.segments.size()) {
      return true;
    }
    WriteHead(reply);
    state_ = State::kRows;
  }
  if (state_ == State::kRows) {
    if (!WriteRows(reply)) {
      return true;
    }
    if (form_ != ListingForm::kChanges) {
      return false;
    }
    removed_.emplace(snapshot_, seed_);
    state_ = State::kRemoved;
  }
  // Writes a short list in this call.
  return removed_->Write(reply) && removed_->Write(reply) && removed_->Write(reply);
}

void RowListing::LookAtSegment() {
  snapshot_.ForEach(segment_, [this](RowIndex index, const Row& row, bool ready) {
    if (rows_left_ > 0) {
      --rows_left_;
      Look(index, row, ready);
    } else if (next_ == 0) {
      next_ = index;
    }
  });
  ++segment_;
}

void RowListing::Look(RowIndex index, const Row& row, bool ready) {
  if (!ready || (filter_.glob && !GlobMatches(*filter_.glob, row.key.View())) ||
      (filter_.where && !filter_.where->Matches(row.tag.View()))) {
    return;
  }
  rows_.push_back({.index = index, .row = &row});
  if (form_ == ListingForm::kLines) {
    FormatLine(rows_.back());
    line_bytes_ += line_.size() + (rows_.size() > 1 ? 1 : 0);
  }
}

void RowListing::WriteHead(resp::Reply& reply) {
  switch (form_) {
    case ListingForm::kLines:
      reply.BeginPayload(line_bytes_);
      return;
    case ListingForm::kPage:
      reply.Array(2);
      reply.Bulk(fmt::format_int(next_).c_str());
      break;
    case ListingForm::kChanges:
      reply.Array(3);
      reply.Integer(static_cast<std::int64_t>(snapshot_.revision));
      break;
    case ListingForm::kMap:
      break;
  }
  reply.Map(rows_.size());
}

// Returns whether all rows are written.
bool RowListing::WriteRows(resp::Reply& reply) {
  for (std::size_t i = 0; i < kRowsAtOnce && written_ < rows_.size(); ++i, ++written_) {
    const Listed& listed = rows_[written_];
    const std::size_t bytes = listed.row->key.View().size() + TagOf(*listed.row).size();
    if (!reply.MakeSpace(2 * bytes + kSlackBytes) && reply.PendingBytes() > 0) {
      break;  // continue when the pending output has shrunk
    }
    if (form_ == ListingForm::kLines) {
      FormatLine(listed);
      reply.Copy(written_ > 0 ? "\n" : "");
      reply.Copy(line_);
    } else {
      reply.Bulk(listed.row->key.View());
      reply.Bulk(TagOf(*listed.row));
    }
  }
  ReleaseWritten();
  if (written_ < rows_.size()) {
    return false;
  }
  if (form_ == ListingForm::kLines) {
    reply.EndPayload();
  }
  return true;
}

void RowListing::FormatLine(const Listed& listed) {
  line_ = "{\"key\":";
  store::AppendJsonString(listed.row->key.View(), line_);
  fmt::format_to(std::back_inserter(line_), ",\"index\":{},\"tag\":", listed.index);
  line_ += TagOf(*listed.row);
  line_ += '}';
}

// Releases the segments that are written: segments held only by this listing are freed piece by
// piece, not all at the end.
void RowListing::ReleaseWritten() {
  if (form_ == ListingForm::kChanges) {
    return;  // RemovedKeys needs the segments
  }
  const RowIndex next = written_ < rows_.size() ? rows_[written_].index / store::Segment::kRows
                                                : std::numeric_limits<RowIndex>::max();
  for (std::size_t i = 0;
       i < 2 && let_go_ < snapshot_.segments.size() && snapshot_.segments[let_go_]->Number() < next;
       ++i) {
    snapshot_.segments[let_go_++] = store::SegmentRef();
  }
}

bool RemovedKeys::Write(resp::Reply& reply) {
  if (!snapshot_.complete) {
    reply.NullArray();
    return false;
  }
  switch (state_) {
    case State::kCollecting:
      Collect();
      return true;
    case State::kSubtracting:
      Subtract();
      if (state_ == State::kWriting) {
        reply.Array(places_.size());
      }
      return true;
    case State::kWriting:
      break;
  }
  return WriteKeys(reply);
}

void RemovedKeys::Collect() {
  const std::size_t end = std::min(snapshot_.removals.size(), next_ + kRowsAtOnce);
  for (; next_ < end; ++next_) {
    const std::string_view key = snapshot_.removals[next_].key.View();
    if (places_.emplace(key, keys_.size()).second) {
      keys_.push_back(key);
    }
  }
  if (next_ == snapshot_.removals.size()) {
    state_ = State::kSubtracting;
    next_ = 0;
  }
}

void RemovedKeys::Subtract() {
  if (!places_.empty() && next_ < snapshot_.segments.size()) {
    snapshot_.ForEach(next_++, [this](RowIndex /*index*/, const Row& row, bool /*ready*/) {
      if (const auto it = places_.find(row.key.View()); it != places_.end()) {
        keys_[it->second] = {};
        places_.erase(it);
      }
    });
  }
  if (places_.empty() || next_ == snapshot_.segments.size()) {
    state_ = State::kWriting;
    next_ = 0;
  }
}

bool RemovedKeys::WriteKeys(resp::Reply& reply) {
  const std::size_t end = std::min(keys_.size(), next_ + kRowsAtOnce);
  for (; next_ < end; ++next_) {
    if (!keys_[next_].empty()) {
      reply.Bulk(keys_[next_]);
    }
  }
  return next_ < keys_.size();
}

}  // namespace sluice::server
