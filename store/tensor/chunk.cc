#include "store/tensor/chunk.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

namespace sluice::store {
namespace {

constexpr std::size_t kOpenSlotsMax = 4096;  // of a dense open chunk
constexpr std::size_t kOpenRaggedSlotsMax =
    1024;  // of a ragged open chunk, which stores offsets and dims
constexpr std::size_t kOpenRaggedSlotsMin = 16;

std::size_t CapacityOf(const Chunk::OpenShape& shape, std::size_t slot_bytes) {
  if (shape.ragged) {  // limits offsets and dims to the payload's size
    const std::size_t number_bytes = sizeof(std::int64_t) * (1 + shape.rank);
    return std::clamp(shape.bytes / number_bytes, kOpenRaggedSlotsMin, kOpenRaggedSlotsMax);
  }
  return slot_bytes == 0 ? kOpenSlotsMax : std::min(shape.bytes / slot_bytes, kOpenSlotsMax);
}

void CopyNumbers(Dims from, std::int64_t* to) {
  std::copy(from.begin(), from.end(), to);
}

// REQUIRES: the dims were checked.
std::size_t CheckedBytes(DType dtype, Dims dims) {
  std::size_t bytes = SizeOf(dtype);
  for (const std::int64_t dim : dims) {
    bytes *= static_cast<std::size_t>(dim);
  }
  return bytes;
}

}  // namespace

Result<ChunkRef> Chunk::Make(Memory& memory, const ColumnSource& source) {
  const std::size_t rank = source.ragged ? source.rank : source.dims.size();
  TRY_ASSIGN(ChunkRef made,
             MakeEmpty(memory, {.dtype = source.dtype,
                                .ragged = source.ragged,
                                .rank = static_cast<std::uint8_t>(rank),
                                .capacity = static_cast<std::uint32_t>(source.slots)}));
  made->SetShapes(source);
  made->blob_ = source.blob;
  made->base_ = source.bytes.data();
  if (source.blob.IsNull() && !source.bytes.empty()) {
    made->blob_ = memory.Allocate(source.bytes.size());
    if (made->blob_.IsNull()) {
      return OutOfMemory();
    }
    std::memcpy(made->blob_.data(), source.bytes.data(), source.bytes.size());
    made->base_ = made->blob_.data();
  }
  made->slots_.store(made->plan_.capacity, std::memory_order_relaxed);
  return made;
}

Result<ChunkRef> Chunk::MakeOpen(Memory& memory, const OpenShape& shape) {
  const std::size_t rank = shape.ragged ? shape.rank : shape.dims.size();
  const std::size_t slot_bytes = shape.ragged ? 0 : CheckedBytes(shape.dtype, shape.dims);
  const std::size_t capacity = CapacityOf(shape, slot_bytes);
  TRY_ASSIGN(ChunkRef made, MakeEmpty(memory, {.dtype = shape.dtype,
                                               .ragged = shape.ragged,
                                               .rank = static_cast<std::uint8_t>(rank),
                                               .capacity = static_cast<std::uint32_t>(capacity)}));
  made->slot_bytes_ = slot_bytes;
  if (shape.ragged) {
    made->Numbers()[0] = 0;
  } else {
    CopyNumbers(shape.dims, made->Numbers());
  }
  if (shape.ragged || slot_bytes > 0) {
    made->blob_ = memory.Allocate(shape.bytes);
    if (made->blob_.IsNull()) {
      return OutOfMemory();
    }
    made->base_ = made->blob_.data();
  }
  return made;
}

bool Chunk::Append(Dims dims, std::string_view bytes) noexcept {
  const std::size_t slot = Slots();
  const std::size_t begin = BytesBefore(slot);
  const bool fits = slot < plan_.capacity && bytes.size() <= blob_.size() - begin;
  const bool alike = plan_.ragged ? dims.size() == plan_.rank : std::ranges::equal(dims, DimsOf(0));
  if (!fits || !alike) {
    return false;
  }
  assert(bytes.size() == CheckedBytes(plan_.dtype, dims));
  if (plan_.ragged) {
    Numbers()[slot + 1] = static_cast<std::int64_t>(begin + bytes.size());
    CopyNumbers(dims, Numbers() + DimsBefore(slot));
  }
  if (!bytes.empty()) {
    std::memcpy(blob_.data() + begin, bytes.data(), bytes.size());
  }
  slots_.store(static_cast<std::uint32_t>(slot + 1), std::memory_order_release);
  return true;
}

DType Chunk::GetDType() const {
  return plan_.dtype;
}

std::size_t Chunk::Slots() const {
  return slots_.load(std::memory_order_acquire);
}

std::size_t Chunk::Rank() const {
  return plan_.rank;
}

bool Chunk::Ragged() const {
  return plan_.ragged;
}

Dims Chunk::DimsOf(std::size_t slot) const {
  return {Numbers() + DimsBefore(slot), plan_.rank};
}

std::string_view Chunk::BytesOf(std::size_t slot) const {
  assert(slot < Slots());
  const std::size_t begin = BytesBefore(slot);
  return {base_ + begin, BytesBefore(slot + 1) - begin};
}

std::size_t Chunk::PointAt(std::uint32_t slot) {
  std::uint64_t& word = LiveWord(slot);
  const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
  if ((word & bit) != 0) {
    if (sharers_ == nullptr) {
      sharers_ = std::make_unique<Sharers>();
    }
    ++(*sharers_)[slot];
    return 0;
  }
  word |= bit;
  const std::size_t bytes = BytesOf(slot).size();
  blob_.AddLive(static_cast<std::int64_t>(bytes));
  return bytes;
}

std::size_t Chunk::PointAtAll(std::size_t slots) noexcept {
  std::uint32_t slot = 0;
  for (; slot + 64 <= slots; slot += 64) {
    LiveWord(slot) = ~std::uint64_t{0};
  }
  for (; slot < slots; ++slot) {
    LiveWord(slot) |= std::uint64_t{1} << (slot % 64);
  }
  const std::size_t bytes = BytesBefore(slots);
  blob_.AddLive(static_cast<std::int64_t>(bytes));
  return bytes;
}

std::size_t Chunk::UnpointAt(std::uint32_t slot) noexcept {
  assert(IsLive(slot));
  if (sharers_ != nullptr) {
    if (const auto it = sharers_->find(slot); it != sharers_->end()) {
      if (--it->second == 0) {
        sharers_->erase(it);
      }
      return 0;
    }
  }
  LiveWord(slot) &= ~(std::uint64_t{1} << (slot % 64));
  const std::size_t bytes = BytesOf(slot).size();
  blob_.AddLive(-static_cast<std::int64_t>(bytes));
  return bytes;
}

bool Chunk::IsLive(std::uint32_t slot) const {
  return (LiveWord(slot) >> (slot % 64) & 1) != 0;
}

std::size_t Chunk::Plan::NumberCount() const {
  const std::size_t slots = capacity;
  return ragged ? slots + 1 + slots * rank : rank;
}

std::size_t Chunk::Plan::LiveWords() const {
  return (std::size_t{capacity} + 63) / 64;
}

std::size_t Chunk::Plan::HeapBytes() const {
  return sizeof(Chunk) + (NumberCount() + LiveWords()) * sizeof(std::int64_t);
}

Chunk::Chunk(Memory& memory, const Plan& plan) noexcept : plan_(plan), memory_(memory) {}

Result<ChunkRef> Chunk::MakeEmpty(Memory& memory, const Plan& plan) {
  const std::size_t bytes = plan.HeapBytes();
  void* const place = ::operator new(bytes);
  if (!memory.GetBudget().TryCharge(static_cast<std::int64_t>(bytes))) {
    ::operator delete(place);
    return OutOfMemory();
  }
  auto* const made = new (place) Chunk(memory, plan);
  std::fill_n(made->Numbers() + plan.NumberCount(), plan.LiveWords(), 0);
  return ChunkRef(made);
}

void Chunk::Destroy(Chunk* chunk) noexcept {
  Memory& memory = chunk->memory_;
  const auto bytes = static_cast<std::int64_t>(chunk->plan_.HeapBytes());
  chunk->~Chunk();
  ::operator delete(chunk);
  memory.GetBudget().Release(bytes);
}

void Chunk::SetShapes(const ColumnSource& source) {
  if (!source.ragged) {
    CopyNumbers(source.dims, Numbers());
    slot_bytes_ = CheckedBytes(source.dtype, source.dims);
    return;
  }
  CopyNumbers(source.dims, Numbers() + DimsBefore(0));
  std::int64_t* const offsets = Numbers();
  offsets[0] = 0;
  for (std::size_t slot = 0; slot < source.slots; ++slot) {
    offsets[slot + 1] =
        offsets[slot] + static_cast<std::int64_t>(CheckedBytes(source.dtype, DimsOf(slot)));
  }
}

std::size_t Chunk::BytesHeldAlone(std::uint32_t slot) const {
  return sharers_ != nullptr && sharers_->contains(slot) ? 0 : BytesOf(slot).size();
}

std::int64_t* Chunk::Numbers() {
  return static_cast<std::int64_t*>(static_cast<void*>(this + 1));
}

const std::int64_t* Chunk::Numbers() const {
  return static_cast<const std::int64_t*>(static_cast<const void*>(this + 1));
}

std::uint64_t& Chunk::LiveWord(std::uint32_t slot) {
  return static_cast<std::uint64_t*>(
      static_cast<void*>(Numbers() + plan_.NumberCount()))[slot / 64];
}

std::uint64_t Chunk::LiveWord(std::uint32_t slot) const {
  return static_cast<const std::uint64_t*>(
      static_cast<const void*>(Numbers() + plan_.NumberCount()))[slot / 64];
}

std::size_t Chunk::BytesBefore(std::size_t slot) const {
  return plan_.ragged ? static_cast<std::size_t>(Numbers()[slot]) : slot * slot_bytes_;
}

std::size_t Chunk::DimsBefore(std::size_t slot) const {
  return plan_.ragged ? plan_.capacity + 1 + slot * plan_.rank : 0;
}

}  // namespace sluice::store
