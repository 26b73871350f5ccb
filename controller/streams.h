// Streams: all partitions' streams, and the fetches that wait for a partition to be made.
//
// What changes rows marks a stream as *changed*; before the engine lock is released, or the next
// command acts, ServeWaiters() answers the fetches that can be answered, in order of arrival.
//
// Thread safety: the holder of the engine lock.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/intrusive/list.hpp>

#include "base/clock.h"
#include "controller/stream.h"
#include "engine/engine.h"
#include "engine/pause.h"
#include "engine/wait_queues.h"
#include "store/memory/budget.h"
#include "store/partition/listener.h"
#include "store/partition/rows.h"
#include "store/store.h"

namespace sluice::controller {

// Errors: kNoTask, kNoField: the partition is STRICT, and does not know it.
Status CheckTask(const store::Partition& partition, std::string_view task);
Status CheckFields(const store::Partition& partition, std::span<const std::string> fields);

// A fetch that waits: in its partition's stream or, while there is none of that name, in the wait
// queue of the name.
class StreamWaiter : public controller::Waiter, public engine::Waiter {
 public:
  // Errors: std::bad_alloc.
  StreamWaiter(engine::EngineLock& lock, Streams& streams, std::string_view partition, Fetch wanted)
      REQUIRES(engine::engine_role);
  ~StreamWaiter() override = default;

  // Waits nowhere any more. To be called before it is destroyed.
  void Leave(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role);
  // The partition may have been made.
  void OnServed(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role);

  [[nodiscard]] const std::string& PartitionName() const { return partition_; }
  Stream* stream = nullptr;  // while it waits in one, and while it is answered

 protected:
  Streams& streams_;

 private:
  friend class Streams;
  std::string partition_;
  engine::WaitQueue* queue_ = nullptr;  // of the partition's name; held while it lives
};

class Streams final : public store::Listener, public engine::WaiterService {
 public:
  // All are borrowed. Becomes the engine's waiter service.
  struct Parts {
    store::Store& store;
    engine::Engine& engine;
    engine::WaitQueues& wait_queues;
    const Clock& clock;
    const engine::Pause& pause;
    store::Budget& budget;
  };
  explicit Streams(const Parts& parts);

  // The partition's, made where there is none; what was due by now is done first: leases whose time
  // is up, rows to evict (not while CLIENT PAUSE is on).
  // Errors: std::bad_alloc.
  Stream& Of(engine::EngineLock& lock, store::Partition& partition) REQUIRES(engine::engine_role);
  // Null: nobody asked for its tasks yet.
  static Stream* Find(store::Partition& partition) {
    return static_cast<Stream*>(partition.GetAttachment());
  }

  // Waits in the partition's stream or, while there is none, for it.
  // Errors: std::bad_alloc.
  void Wait(engine::EngineLock& lock, StreamWaiter& waiter) REQUIRES(engine::engine_role);

  // The rows go where all tasks of an AUTOEVICT partition have consumed them; where there is no
  // memory for that, when its tasks are asked for next.
  void Evict(engine::EngineLock& lock, Stream& stream, std::span<const RowIndex> rows) noexcept
      REQUIRES(engine::engine_role);
  // Of all its rows; where those are many, the first of them, and more when its tasks are asked
  // for.
  void EvictSome(engine::EngineLock& lock, Stream& stream) noexcept REQUIRES(engine::engine_role);
  // The partition's terms were changed: its tasks follow, and waiting fetches of a task or field
  // that STRICT does not allow get their error. Errors: std::bad_alloc.
  void OnTermsChanged(engine::EngineLock& lock, Stream& stream) REQUIRES(engine::engine_role);
  // Ends leases whose time is up, some thousand rows' at most. When the next one ends, which may be
  // in the past: Leases::kNever: none does. While CLIENT PAUSE is on: when the pause ends; fetches
  // that could not be answered meanwhile are then.
  std::int64_t EndLeases(engine::EngineLock& lock, std::int64_t now_us) noexcept
      REQUIRES(engine::engine_role);
  // Ends the client's leases, some thousand rows' at most. True: there are more.
  bool OnConnectionClosed(engine::EngineLock& lock, std::int64_t connection) noexcept
      REQUIRES(engine::engine_role);

  // Its waiters are looked at before the engine lock is released.
  void MarkChanged(engine::EngineLock& lock, Stream& stream) noexcept REQUIRES(engine::engine_role);
  void ServeWaiters(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role);

  void OnRowsChanged(store::Partition& partition,
                     std::span<const store::RowReference> rows) noexcept override;
  void OnRowsRemoved(store::Partition& partition,
                     std::span<const store::RowReference> rows) noexcept override;
  void OnPartitionRemoved(store::Partition& partition) noexcept override;

  LeaseId& LeaseIds() { return lease_ids_; }
  [[nodiscard]] std::int64_t NowMs() const { return parts_.clock.WallUs() / 1000; }
  // Calls function(stream) for each.
  template <typename Function>
  void ForEach(engine::EngineLock& /*lock*/, const Function& function)
      REQUIRES(engine::engine_role) {
    for (Stream& stream : all_) {
      function(stream);
    }
  }

 private:
  friend class StreamWaiter;
  void LetIn(engine::EngineLock& lock, StreamWaiter& waiter) REQUIRES(engine::engine_role);
  void Remove(Stream& stream, std::span<const RowIndex> rows);

  Parts parts_;
  LeaseId lease_ids_ = 0;
  std::int64_t arrivals_ = 0;
  Random seeds_;
  template <Stream::Hook Stream::*kHook>
  using StreamList =
      boost::intrusive::list<Stream, boost::intrusive::member_hook<Stream, Stream::Hook, kHook>,
                             boost::intrusive::constant_time_size<false>>;
  StreamList<&Stream::in_all> all_;
  StreamList<&Stream::in_changed> changed_;
};

}  // namespace sluice::controller
