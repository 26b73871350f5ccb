#include "store/memory/blob.h"

#include <algorithm>
#include <new>

namespace sluice::store {
namespace {

constexpr std::size_t RoundUpToStep(std::size_t bytes) {
  const std::size_t step = Memory::kChargeStepBytes;
  return bytes / step * step + (bytes % step == 0 ? 0 : step);
}

// Adds `add` to `sum` unless the result would exceed `most`.
bool AddUpTo(std::atomic<std::size_t>& sum, std::size_t add, std::size_t most) {
  std::size_t now = sum.load(std::memory_order_relaxed);
  do {
    if (now > most || add > most - now) {
      return false;
    }
  } while (!sum.compare_exchange_weak(now, now + add, std::memory_order_relaxed));
  return true;
}

}  // namespace

char* Blob::data() const {
  return rep_ == nullptr ? nullptr : rep_->data;
}

std::size_t Blob::size() const {
  return rep_ == nullptr ? 0 : rep_->size;
}

bool Blob::ChargeUpTo(std::size_t bytes, std::int64_t overdraft) noexcept {
  const std::size_t run_bytes = Arena::RunBytes(rep_->size);
  const std::size_t wanted = std::min(RoundUpToStep(std::min(bytes, run_bytes)), run_bytes);
  if (wanted <= rep_->charged) {
    return true;
  }
  const std::size_t missing = wanted - rep_->charged;
  if (!rep_->memory->budget_.TryCharge(static_cast<std::int64_t>(missing), overdraft)) {
    return false;
  }
  rep_->memory->announced_.fetch_sub(missing, std::memory_order_relaxed);
  rep_->charged = wanted;
  return true;
}

bool Blob::ClaimTail(std::size_t offset, std::size_t bytes) noexcept {
  if (offset != rep_->claimed || bytes > rep_->size - offset) {
    return false;
  }
  rep_->claimed += bytes;
  return true;
}

void Blob::AddLive(std::int64_t bytes) noexcept {
  if (rep_ != nullptr) {
    rep_->live += static_cast<std::size_t>(bytes);  // unsigned: a negative `bytes` wraps around
  }
}

void Blob::AddHolder(int count) noexcept {
  if (rep_ == nullptr) {
    return;
  }
  const bool was_held = rep_->holders > 0;
  rep_->holders += static_cast<std::uint32_t>(count);
  if (const bool is_held = rep_->holders > 0; is_held != was_held) {
    const std::size_t run_bytes = Arena::RunBytes(rep_->size);
    rep_->memory->stored_.fetch_add(is_held ? run_bytes : 0 - run_bytes, std::memory_order_relaxed);
  }
}

void Blob::Retain() noexcept {
  if (rep_ != nullptr) {
    rep_->count.fetch_add(1, std::memory_order_relaxed);
  }
}

void Blob::Drop() noexcept {
  if (rep_ != nullptr && rep_->count.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Memory::Destroy(rep_);
  }
}

Memory::Memory(std::unique_ptr<Arena> arena, std::size_t announced_max)
    : arena_(std::move(arena)), announced_max_(announced_max) {}

Blob Memory::Allocate(std::size_t bytes, std::int64_t overdraft) {
  auto rep = std::make_unique<Blob::Rep>(this, bytes);
  const std::size_t run_bytes = Arena::RunBytes(bytes);
  const auto charge = static_cast<std::int64_t>(run_bytes);
  if (charge < 0 || !budget_.TryCharge(charge, overdraft)) {
    return {};
  }
  rep->data = arena_->Allocate(bytes);
  if (rep->data == nullptr) {
    budget_.Release(charge);
    return {};
  }
  rep->charged = run_bytes;
  return Blob(rep.release());
}

Blob Memory::Reserve(std::size_t bytes) {
  auto rep = std::make_unique<Blob::Rep>(this, bytes);
  const std::size_t run_bytes = Arena::RunBytes(bytes);
  if (run_bytes > static_cast<std::size_t>(std::max<std::int64_t>(budget_.Limit(), 0)) ||
      !AddUpTo(announced_, run_bytes, announced_max_)) {
    return {};
  }
  rep->data = arena_->Allocate(bytes);
  if (rep->data == nullptr) {
    announced_.fetch_sub(run_bytes, std::memory_order_relaxed);
    return {};
  }
  return Blob(rep.release());
}

void Memory::Destroy(Blob::Rep* rep) noexcept {
  const std::unique_ptr<Blob::Rep> owned(rep);
  Memory& memory = *rep->memory;
  const std::size_t uncharged = Arena::RunBytes(rep->size) - rep->charged;
  memory.arena_->Free(rep->data, rep->size);
  memory.announced_.fetch_sub(uncharged, std::memory_order_relaxed);
  memory.budget_.Release(static_cast<std::int64_t>(rep->charged));
}

}  // namespace sluice::store
