#include "controller/stream.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "controller/streams.h"

namespace sluice::controller {

Stream::Stream(Streams& streams, store::Budget& budget, store::Partition& partition,
               std::uint64_t seed)
    : streams_(streams),
      budget_(budget),
      partition_(partition),
      controller_(*this, streams.LeaseIds(), seed) {
  controller_.Begin();
  TakeTerms();
}

Stream::~Stream() {
  budget_.Release(charged_);
}

void Stream::TakeTerms() {
  std::vector<std::string_view> made;
  made.reserve(partition_.Terms().tasks.size());
  try {
    for (const std::string& task : partition_.Terms().tasks) {
      if (controller_.FindTask(task) == nullptr) {
        controller_.GetTask(task);
        made.push_back(task);
      }
    }
  } catch (...) {
    for (const std::string_view task : made) {
      controller_.ForgetUnused(task);
    }
    throw;
  }
  controller_.SetExpected(partition_.Terms().expect);
}

void Stream::EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept {
  if (controller_.NextDeadlineUs() <= now_us) {
    partition_.Touch(streams_.NowMs());  // a lease was active until now
    controller_.EndLeases(now_us, rows);
    controller_.ServeWaiters(now_us);
  }
}

std::vector<const Task*> Stream::EvictingTasks() {
  std::vector<const Task*> tasks;
  const store::PartitionTerms& terms = partition_.Terms();
  for (const std::string& name : terms.tasks) {
    const Task* const task = terms.autoevict ? controller_.FindTask(name) : nullptr;
    if (task == nullptr) {
      return {};
    }
    tasks.push_back(task);
  }
  return tasks;
}

bool Stream::IsEvictable(std::span<const Task* const> tasks, RowIndex row) const {
  return !tasks.empty() && !in_replies_.Contains(row) &&
         std::all_of(tasks.begin(), tasks.end(),
                     [row](const Task* task) { return task->IsDoneWith(row); });
}

std::vector<RowIndex> Stream::Evictable(std::span<const RowIndex> rows) {
  std::vector<RowIndex> evictable;
  const auto tasks = EvictingTasks();
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(evictable),
               [&](RowIndex row) { return IsEvictable(tasks, row); });
  return evictable;
}

std::vector<RowIndex> Stream::SomeEvictable(std::size_t rows_max) {
  evicts_later_ = false;
  std::vector<RowIndex> evictable;
  const auto tasks = EvictingTasks();
  if (tasks.empty()) {
    return evictable;
  }
  const RowBits& consumed = tasks.front()->Consumed();
  for (RowIndex row = consumed.NextFrom(evict_from_); row != kNoRow;
       row = consumed.NextFrom(row + 1)) {
    if (rows_max-- == 0) {
      evict_from_ = row;
      evicts_later_ = true;
      return evictable;
    }
    if (IsEvictable(tasks, row)) {
      evictable.push_back(row);
    }
  }
  evict_from_ = 0;
  evicts_later_ = std::exchange(evicts_again_, false);
  return evictable;
}

// Half of the limits for the steps of all TASKS together: if they held more, writes might wait for
// space that only later steps make. MAXBYTES counts as rows of the average size.
std::int64_t Stream::RowsToHold() const {
  const store::PartitionTerms& terms = partition_.Terms();
  const auto rows = static_cast<std::int64_t>(partition_.Rows());
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  if (terms.autoevict && terms.rows_max) {
    limit = *terms.rows_max;
  }
  if (terms.autoevict && terms.bytes_max && rows > 0) {
    const std::int64_t row_bytes = std::max<std::int64_t>(1, partition_.ValueBytes() / rows);
    limit = std::min(limit, *terms.bytes_max / row_bytes);
  }
  return limit / 2 / std::max<std::int64_t>(1, std::ssize(terms.tasks));
}

void Stream::Charge() noexcept {
  const std::int64_t bytes = controller_.Bytes() + in_replies_.Bytes();
  if (bytes > charged_) {
    budget_.Charge(bytes - charged_);
  } else {
    budget_.Release(charged_ - bytes);
  }
  charged_ = bytes;
}

void Stream::LookUpFields() const {
  if (fields_version_ == partition_.FieldsVersion()) {
    return;
  }
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    field_ids_[i] = partition_.FieldId(fields_[i]);
  }
  fields_version_ = partition_.FieldsVersion();
}

bool Stream::AllReady(const store::Segment& segment, std::uint32_t offset,
                      std::span<const std::size_t> fields) const {
  return std::all_of(fields.begin(), fields.end(), [&](std::size_t position) {
    const std::optional<std::uint32_t> id = field_ids_[position];
    return id && segment.GetCell(*id, offset).Ready();
  });
}

bool Stream::Ready(RowIndex row, std::span<const std::size_t> fields) const {
  LookUpFields();
  const store::RowReference place = partition_.Locate(row);
  return place.segment != nullptr && AllReady(*place.segment, place.offset, fields);
}

std::string_view Stream::TagOf(RowIndex row) const {
  const store::RowReference place = partition_.Locate(row);
  return place.segment == nullptr ? std::string_view() : place.segment->At(place.offset).tag.View();
}

void Stream::Select(std::span<const std::size_t> fields, const std::optional<store::Where>& where,
                    RowBits& rows) const {
  LookUpFields();
  partition_.ForEachSegment([&](const store::Segment& segment) {
    if (fields.empty() && !where && segment.live_rows == store::Segment::kRows) {
      const RowIndex first = segment.Number() * store::Segment::kRows;
      rows.InsertAll(first, first + store::Segment::kRows);
      return;
    }
    segment.ForEach(0, 0, [&](std::uint32_t offset, const store::Row& row) {
      if (AllReady(segment, offset, fields) && (!where || where->Matches(row.tag.View()))) {
        rows.Insert(segment.Number() * store::Segment::kRows + offset);
      }
    });
  });
}

std::size_t Stream::Follow(std::string_view field) {
  const auto known = std::find(fields_.begin(), fields_.end(), field);
  if (known != fields_.end()) {
    return static_cast<std::size_t>(known - fields_.begin());
  }
  if (const auto unused = std::find(fields_.begin(), fields_.end(), ""); unused != fields_.end()) {
    const auto position = static_cast<std::size_t>(unused - fields_.begin());
    field_ids_[position] = partition_.FieldId(field);
    *unused = field;
    ++followed_;
    return position;
  }
  field_ids_.reserve(fields_.size() + 1);
  fields_.emplace_back(field);
  field_ids_.push_back(partition_.FieldId(field));
  ++followed_;
  return fields_.size() - 1;
}

void Stream::KeepOnly(std::span<const std::size_t> positions) noexcept {
  followed_ = positions.size();
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (std::find(positions.begin(), positions.end(), i) == positions.end()) {
      fields_[i].clear();
      field_ids_[i].reset();
    }
  }
}

std::int64_t Stream::MadeMs(RowIndex row) const {
  const store::RowReference place = partition_.Locate(row);
  return place.segment->At(place.offset).made_ms;
}

TaskReport Stream::Report(Task& task, const Selection& selection) {
  return {.counts = controller_.Count(task, selection), .expected = partition_.Terms().expect};
}

std::optional<std::int64_t> Stream::OldestUnconsumedMs(const Task& task,
                                                       std::int64_t now_ms) const {
  const RowIndex row = controller_.OldestUnconsumed(task);
  return row == kNoRow ? std::nullopt
                       : std::optional(std::max<std::int64_t>(0, now_ms - MadeMs(row)));
}

}  // namespace sluice::controller
