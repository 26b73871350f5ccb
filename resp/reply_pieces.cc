// Reply: storage of the bytes until they are sent: pieces, scratch blocks and pins.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

#include "resp/reply.h"

namespace sluice::resp {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{16} * 1024;
constexpr std::size_t kPiecesKept = std::size_t{4} * 1024;  // ring capacity kept between replies

}  // namespace

Reply::~Reply() {
  if (source_ != nullptr) {
    source_->Give(CapacityBytes());
  }
}

void Reply::BeginPayload(std::size_t bytes) {
  assert(payload_left_ == 0);
  Header('$', static_cast<std::int64_t>(bytes));
  payload_left_ = bytes;
}

void Reply::Copy(std::string_view bytes) {
  assert(bytes.size() <= payload_left_);
  Append(bytes);
  payload_left_ -= bytes.size();
}

void Reply::Reference(std::string_view bytes) {
  assert(bytes.size() <= payload_left_);
  if (bytes.empty()) {
    return;
  }
  const bool continues = !pieces_.empty() && !pieces_.Back().scratch &&
                         pieces_.Back().data + pieces_.Back().bytes == bytes.data();
  if (continues) {
    pieces_.Back().bytes += bytes.size();
  } else {
    pieces_.PushBack({.data = bytes.data(), .bytes = bytes.size(), .scratch = false});
  }
  appended_ += bytes.size();
  payload_left_ -= bytes.size();
}

void Reply::EndPayload() {
  assert(payload_left_ == 0);
  Append("\r\n");
}

void Reply::Hold(Pin pin) {
  if (PendingBytes() > 0) {
    pins_.PushBack({.position = appended_, .pin = std::move(pin)});
  }
}

Reply::Mark Reply::Prepare() {
  refused_ = false;
  if (pieces_.empty() && pieces_.Capacity() > kPiecesKept) {
    pieces_ = Ring<Piece>();
  }
  if (pins_.empty() && pins_.Capacity() > kPiecesKept) {
    pins_ = Ring<Held>();
  }
  pieces_.Reserve(1);
  if (constexpr std::size_t kNeeded = kErrorBytesMax + 3; SpaceInBlock() < kNeeded) {
    StartBlock(/*must=*/true);
  }
  return {.position = appended_, .payload_left = payload_left_};
}

void Reply::Reserve(std::size_t bytes) {
  const std::size_t blocks = bytes / kBlockBytes + 1;
  spares_.reserve(blocks);
  while (spares_.size() < blocks) {
    spares_.push_back(NewBlock(/*must=*/false));
  }
  blocks_.Reserve(blocks);
  pieces_.Reserve(blocks + 1);
}

bool Reply::MakeSpace(std::size_t bytes) noexcept {
  refused_ = false;
  try {
    while (SpaceInBlock() + spares_.size() * kBlockBytes < bytes) {
      spares_.reserve(spares_.size() + 1);
      spares_.push_back(NewBlock(/*must=*/false));
    }
    blocks_.Reserve(spares_.size());
    pieces_.Reserve(spares_.size() + 1);
  } catch (const std::bad_alloc&) {
    refused_ = true;
  }
  return !refused_;
}

bool Reply::HasSpace() const {
  return source_ == nullptr || !spares_.empty() || source_->HasSpace(kBlockBytes);
}

void Reply::Rewind(Mark mark) noexcept {
  assert(mark.position >= consumed_ && mark.position <= appended_);
  while (!pins_.empty() && pins_.Back().position > mark.position) {
    pins_.PopBack();
  }
  bool moved = false;
  while (appended_ > mark.position) {
    Piece& last = pieces_.Back();
    const std::size_t cut = std::min<std::uint64_t>(appended_ - mark.position, last.bytes);
    last.bytes -= cut;
    appended_ -= cut;
    if (last.scratch) {
      scratch_pending_ -= cut;
      // Piece data is const because it may be borrowed; a scratch piece is owned.
      write_ = const_cast<char*>(last.data) + last.bytes;
      moved = true;
    }
    if (last.bytes == 0) {
      pieces_.PopBack();
    }
  }
  const auto in_last_block = [this] {
    const char* const begin = blocks_.Back().bytes.get();
    return write_ >= begin && write_ < begin + kBlockBytes;
  };
  while (moved && !in_last_block()) {
    Recycle(std::move(blocks_.Back()));
    blocks_.PopBack();
  }
  payload_left_ = mark.payload_left;
}

std::size_t Reply::PendingBytes() const {
  return appended_ - consumed_;
}

std::size_t Reply::ScratchBytes() const {
  return scratch_pending_;
}

std::size_t Reply::CapacityBytes() const {
  return (blocks_.size() + spares_.size()) * kBlockBytes;
}

std::size_t Reply::Gather(std::span<iovec> buffers, std::size_t bytes_max) const {
  const std::size_t count_max = std::min(buffers.size(), pieces_.size());
  std::size_t count = 0;
  for (; count < count_max && bytes_max > 0; ++count) {
    const Piece& piece = pieces_[count];
    const std::size_t bytes = std::min(piece.bytes, bytes_max);
    // iovec's pointer is not const because recv uses it, too; sending only reads.
    buffers[count] = {.iov_base = const_cast<char*>(piece.data), .iov_len = bytes};
    bytes_max -= bytes;
  }
  return count;
}

void Reply::Consume(std::size_t bytes) noexcept {
  assert(bytes <= PendingBytes());
  consumed_ += bytes;
  while (bytes > 0) {
    Piece& first = pieces_.Front();
    const std::size_t cut = std::min(bytes, first.bytes);
    first.data += cut;
    first.bytes -= cut;
    bytes -= cut;
    if (first.scratch) {
      scratch_pending_ -= cut;
    }
    if (first.bytes == 0) {
      pieces_.PopFront();
    }
  }
  ForgetConsumed();
}

// Releases the pins and blocks that only consumed bytes needed.
void Reply::ForgetConsumed() noexcept {
  while (!pins_.empty() && pins_.Front().position <= consumed_) {
    pins_.PopFront();
  }
  const bool all = PendingBytes() == 0;
  while (all && spares_.size() > 1) {
    std::unique_ptr<char[]> spare = std::move(spares_.back());
    spares_.pop_back();
    Recycle({.bytes = std::move(spare)});
  }
  while (!blocks_.empty() && (all || (blocks_.size() > 1 && blocks_.Front().end <= consumed_))) {
    Recycle(std::move(blocks_.Front()));
    blocks_.PopFront();
  }
  if (all) {
    write_ = nullptr;
  }
}

void Reply::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    char* const out = Contiguous(1);
    const std::string_view part = bytes.substr(0, SpaceInBlock());
    std::memcpy(out, part.data(), part.size());
    Written(out + part.size());
    bytes.remove_prefix(part.size());
  }
}

// Returns space for at least `bytes` contiguous bytes; call Written() afterwards.
char* Reply::Contiguous(std::size_t bytes) {
  if (SpaceInBlock() < bytes) {
    StartBlock();
  }
  return write_;
}

// Records that the bytes from write_ to `end` were written.
void Reply::Written(const char* end) {
  const auto bytes = static_cast<std::size_t>(end - write_);
  const bool continues = !pieces_.empty() && pieces_.Back().scratch &&
                         pieces_.Back().data + pieces_.Back().bytes == write_;
  if (continues) {
    pieces_.Back().bytes += bytes;
  } else {
    pieces_.PushBack({.data = write_, .bytes = bytes, .scratch = true});
  }
  write_ += bytes;
  appended_ += bytes;
  scratch_pending_ += bytes;
}

std::size_t Reply::SpaceInBlock() const {
  if (write_ == nullptr) {
    return 0;
  }
  return kBlockBytes - static_cast<std::size_t>(write_ - blocks_.Back().bytes.get());
}

std::unique_ptr<char[]> Reply::NewBlock(bool must) {
  if (source_ == nullptr) {
    return std::make_unique_for_overwrite<char[]>(kBlockBytes);
  }
  if (!source_->Take(kBlockBytes, must)) {
    throw NoSpace();
  }
  try {
    return std::make_unique_for_overwrite<char[]>(kBlockBytes);
  } catch (const std::bad_alloc&) {
    source_->Give(kBlockBytes);
    throw;
  }
}

void Reply::StartBlock(bool must) {
  blocks_.Reserve(1);
  std::unique_ptr<char[]> bytes;
  if (spares_.empty()) {
    spares_.reserve(1);  // so that Recycle() does not allocate
    bytes = NewBlock(must);
  } else {
    bytes = std::move(spares_.back());
    spares_.pop_back();
  }
  if (!blocks_.empty()) {
    blocks_.Back().end = appended_;
  }
  write_ = bytes.get();
  blocks_.PushBack({.bytes = std::move(bytes), .end = 0});
}

// Keeps one block for the next reply and frees the others.
void Reply::Recycle(Block block) noexcept {
  if (spares_.empty()) {
    spares_.push_back(std::move(block.bytes));
  } else if (source_ != nullptr) {
    source_->Give(kBlockBytes);
  }
}

}  // namespace sluice::resp
