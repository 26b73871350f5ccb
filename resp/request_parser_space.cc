// RequestParser: the input buffer and the buffers of large bulk strings.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "resp/request_parser.h"

namespace sluice::resp {
namespace {

constexpr std::size_t kFirstBufferBytes = std::size_t{2} * 1024;
constexpr std::size_t kUsualBufferBytes = std::size_t{16} * 1024;

}  // namespace

void RequestParser::GiveBuffer(char* place) {
  assert(state_ == State::kAsked);
  place_ = place;
  bulk_filled_ = std::min(filled_ - parsed_, bulk_bytes_);
  std::memcpy(place, buffer_.get() + parsed_, bulk_filled_);
  Discard(bulk_filled_);
  state_ = State::kFilling;
}

void RequestParser::Drain() {
  assert(state_ == State::kAsked || state_ == State::kFilling || state_ == State::kDraining ||
         state_ == State::kLargeEnd);
  if (state_ == State::kAsked) {
    bulk_filled_ = 0;
  }
  place_ = nullptr;
  if (state_ != State::kLargeEnd) {
    state_ = State::kDraining;
  }
}

std::span<char> RequestParser::BulkSpace() {
  if (state_ != State::kFilling) {
    return {};
  }
  return {place_ + bulk_filled_, bulk_bytes_ - bulk_filled_};
}

std::span<char> RequestParser::Space() {
  if (state_ == State::kStart) {
    args_.clear();  // invalid from here on, so MoveTo() need not update it
  }
  const std::size_t held = filled_ - begin_;
  std::size_t wanted = capacity_;
  if (capacity_ == 0) {
    wanted = kFirstBufferBytes;
  } else if (held == capacity_ || (was_full_ && capacity_ < kUsualBufferBytes)) {
    wanted = 2 * capacity_;
  } else if (capacity_ > kUsualBufferBytes && held < kUsualBufferBytes) {
    wanted = kUsualBufferBytes;
  }
  if (wanted != capacity_) {
    auto bigger = std::make_unique_for_overwrite<char[]>(wanted);
    MoveTo(bigger.get());
    buffer_ = std::move(bigger);
    capacity_ = wanted;
  } else if (begin_ > 0) {
    MoveTo(buffer_.get());
  }
  was_full_ = false;
  return {buffer_.get() + filled_, capacity_ - filled_};
}

void RequestParser::Filled(std::size_t count) {
  if (state_ == State::kFilling) {
    const std::size_t to_place = std::min(count, bulk_bytes_ - bulk_filled_);
    bulk_filled_ += to_place;
    count -= to_place;
  }
  assert(count <= capacity_ - filled_);
  filled_ += count;
  was_full_ = count > 0 && filled_ == capacity_;
}

// Removes the next `count` unparsed bytes, so that discarded bytes use no space.
void RequestParser::Discard(std::size_t count) {
  char* const from = buffer_.get() + parsed_;
  std::memmove(from, from + count, filled_ - parsed_ - count);
  filled_ -= count;
}

// Moves the request being parsed to the beginning of `target` and updates its arguments.
void RequestParser::MoveTo(char* target) {
  if (filled_ > begin_) {
    const char* const from = buffer_.get() + begin_;
    std::memmove(target, from, filled_ - begin_);
    for (Argument& argument : args_) {
      if (argument.large < 0) {
        argument.text = {target + (argument.text.data() - from), argument.text.size()};
      }
    }
  }
  parsed_ -= begin_;
  scanned_ = scanned_ > begin_ ? scanned_ - begin_ : 0;
  filled_ -= begin_;
  begin_ = 0;
}

}  // namespace sluice::resp
