// WaitQueues: the wait queues of blocked commands. The key of a queue says what its waiters wait
// for:
//
//   kMemory      free memory: writes with BLOCK that maxmemory refused
//   kLimits      space in a partition: writes with BLOCK that MAXROWS or MAXBYTES refused
//   kPartition   the creation of a partition of this name: fetches. Fetches of a partition that
//                exists wait in its Controller (controller/waiter.h, controller_wait.cc)
//   kRow         a change of a row: KV.WAIT
//   kUnpause     the end of CLIENT PAUSE
//
// Waiters are served in order of arrival. In the first two kinds each waiter has a need. A waiter
// whose need fits may pass one whose need does not. Space that a waiter was offered is kept from
// those behind it until it has tried. Store events only mark queues. Serve() serves the marked
// queues before the engine lock is released, so the command that made the change serves.
//
// Thread safety: the holder of the engine lock; OnMemoryFreed(): any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <boost/intrusive/list.hpp>

#include "engine/engine.h"
#include "store/partition/listener.h"
#include "store/store.h"

namespace sluice::engine {

class WaitQueue;

class Waiter {
 public:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  // kMemory: bytes. kLimits: rows and bytes of values, as in store::WriteResult.
  struct Need {
    std::int64_t rows = 0;
    std::int64_t bytes = 0;
    // kLimits: bytes of the new values alone, not less what they replace. If the limit is below
    // this, the write never fits.
    std::int64_t alone = 0;
  };

  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter() { assert(!Waits()); }  // REQUIRES: WaitQueues::Leave() was called

  // The event occurred. A need, if any, fits and stays reserved for this waiter until it leaves or
  // is refused. A waiter without a need has left its queue and may join again.
  virtual void OnServed(EngineLock& lock) noexcept REQUIRES(engine_role) = 0;
  // Returns the current need, which may have changed since the waiter joined.
  virtual Need CurrentNeed(EngineLock& /*lock*/) noexcept REQUIRES(engine_role) { return need_; }

  [[nodiscard]] bool Waits() const { return queue_ != nullptr; }

 private:
  friend class WaitQueue;
  friend class WaitQueues;
  Hook hook_;
  WaitQueue* queue_ = nullptr;
  Need need_;
  bool served_ = false;  // served, and has not tried yet
};

struct WaitKey {
  enum class Kind : std::uint8_t { kMemory, kLimits, kPartition, kRow, kUnpause };
  Kind kind = Kind::kMemory;
  std::string_view partition = {};
  std::string_view row_key = {};  // kRow: the row's key; if empty, `row` is its index
  RowIndex row = kNoRow;
};

// The waiters of one key, in order of arrival.
class WaitQueue {
 public:
  explicit WaitQueue(const WaitKey& key)
      : kind_(key.kind), partition_(key.partition), row_key_(key.row_key), row_(key.row) {}
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  [[nodiscard]] WaitKey Key() const {
    return {.kind = kind_, .partition = partition_, .row_key = row_key_, .row = row_};
  }

 private:
  friend class WaitQueues;
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  void Offer(EngineLock& lock, Waiter::Need available, const Waiter::Need& limit) noexcept
      REQUIRES(engine_role);
  void ServeAll(EngineLock& lock) noexcept REQUIRES(engine_role);
  [[nodiscard]] bool HasNeeds() const {
    return kind_ == WaitKey::Kind::kMemory || kind_ == WaitKey::Kind::kLimits;
  }

  WaitKey::Kind kind_;
  std::string partition_;
  std::string row_key_;
  RowIndex row_;
  std::size_t holders_ = 0;
  Hook in_changed_;
  boost::intrusive::list<Waiter,
                         boost::intrusive::member_hook<Waiter, Waiter::Hook, &Waiter::hook_>>
      waiters_;
};

class WaitQueues final : public store::Listener {
 public:
  // Borrows its arguments. `serve_soon` is called from any thread when freed memory could serve a
  // waiter. It must cause the engine lock to be acquired and released soon. If it throws
  // std::bad_alloc, the housekeeper's next round serves the waiters.
  WaitQueues(Engine& engine, store::Store& store, store::Budget& budget);
  ~WaitQueues();
  void SetServeSoon(std::function<void()> serve_soon) { serve_soon_ = std::move(serve_soon); }

  // Returns the queue of this key. It exists until Release() was called as often as Hold(). The
  // holder of a queue joins it without allocating. The partition of the key, if any, is in use
  // meanwhile. Errors: std::bad_alloc.
  WaitQueue& Hold(EngineLock& lock, const WaitKey& key) REQUIRES(engine_role);
  void Release(EngineLock& lock, WaitQueue& queue) noexcept REQUIRES(engine_role);

  // Appends the waiter to the queue. REQUIRES: the queue is held; the waiter is in no queue.
  void Join(EngineLock& lock, WaitQueue& queue, Waiter& waiter, Waiter::Need need = {}) noexcept
      REQUIRES(engine_role);
  // Removes the waiter from its queue, if any. What was reserved for it is offered to others.
  void Leave(EngineLock& lock, Waiter& waiter) noexcept REQUIRES(engine_role);
  // The waiter was served and tried in vain: it keeps its position, with this need. REQUIRES: it is
  // in a queue.
  void Refused(EngineLock& lock, Waiter& waiter, Waiter::Need need) noexcept REQUIRES(engine_role);

  // The waiters of this key are checked before the lock is released.
  void Notify(EngineLock& lock, const WaitKey& key) noexcept REQUIRES(engine_role);
  void Serve(EngineLock& lock) noexcept REQUIRES(engine_role);

  // Returns how many holds there are on queues of this kind.
  [[nodiscard]] std::size_t Holders(WaitKey::Kind kind) const {
    return held_.at(static_cast<std::size_t>(kind));
  }

  void OnRowsChanged(store::Partition& partition,
                     std::span<const store::RowReference> rows) noexcept override;
  void OnNameChanged(std::string_view name) noexcept override;
  void OnAllRemoved(store::Store& before) noexcept override;
  void OnMemoryFreed() noexcept override;
  [[nodiscard]] bool InUse(const store::Partition& partition) const noexcept override;

 private:
  struct Less {
    using is_transparent = void;
    static auto Tie(const WaitKey& key) {
      return std::tie(key.kind, key.partition, key.row_key, key.row);
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const WaitKey left = KeyOf(a);
      const WaitKey right = KeyOf(b);
      return Tie(left) < Tie(right);
    }
    static WaitKey KeyOf(const WaitKey& key) { return key; }
    static WaitKey KeyOf(const std::unique_ptr<WaitQueue>& queue) { return queue->Key(); }
  };

  [[nodiscard]] std::size_t& HeldOf(WaitKey::Kind kind) {
    return held_.at(static_cast<std::size_t>(kind));
  }
  void MarkChanged(EngineLock& lock, WaitQueue& queue) noexcept REQUIRES(engine_role);
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  struct Limits {
    Waiter::Need limit = {.rows = kNoLimit, .bytes = kNoLimit};      // the most there can ever be
    Waiter::Need available = {.rows = kNoLimit, .bytes = kNoLimit};  // now
  };
  [[nodiscard]] Limits LimitsOf(const WaitQueue& queue) noexcept;
  void EraseIfUnused(WaitQueue& queue) noexcept;

  Engine& engine_;
  store::Store& store_;
  store::Budget& budget_;
  std::function<void()> serve_soon_ = [] {};
  std::set<std::unique_ptr<WaitQueue>, Less> queues_;
  std::array<std::size_t, 5> held_ = {};  // holds by kind: most changes concern no waiter
  WaitQueue* serving_ = nullptr;
  boost::intrusive::list<
      WaitQueue, boost::intrusive::member_hook<WaitQueue, WaitQueue::Hook, &WaitQueue::in_changed_>,
      boost::intrusive::constant_time_size<false>>
      changed_;
  std::atomic<bool> memory_freed_{false};
};

}  // namespace sluice::engine
