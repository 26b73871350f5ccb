// Streams: the streams of all partitions, and the fetches that wait for a partition to be created.
//
// A change of rows marks the stream as *changed*. Before the engine lock is released or the next
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

// Errors: kNoTask, kNoField: the partition is STRICT and does not declare the task or field.
Status CheckTask(const store::Partition& partition, std::string_view task);
Status CheckFields(const store::Partition& partition, std::span<const std::string> fields);

// A fetch that waits: in its partition's stream or, while there is no partition of that name, in
// the wait queue of the name.
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
  // All are borrowed. Streams becomes the engine's waiter service.
  struct Parts {
    store::Store& store;
    engine::Engine& engine;
    engine::WaitQueues& wait_queues;
    const Clock& clock;
    const engine::Pause& pause;
    store::Budget& budget;
  };
  explicit Streams(const Parts& parts);

  // Returns the partition's stream, creating it if there is none. First does what is due: expires
  // leases whose time is up and evicts rows (not while CLIENT PAUSE is on). Errors: std::bad_alloc.
  Stream& Of(engine::EngineLock& lock, store::Partition& partition) REQUIRES(engine::engine_role);
  // Returns null if no command asked for the partition's tasks yet.
  static Stream* Find(const store::Partition& partition) {
    return static_cast<Stream*>(partition.GetAttachment());
  }

  // Waits in the partition's stream or, while there is no partition, for the partition.
  // Errors: std::bad_alloc.
  void Wait(engine::EngineLock& lock, StreamWaiter& waiter) REQUIRES(engine::engine_role);

  // Evicts the rows that all TASKS of an AUTOEVICT partition are done with. If there is no memory
  // for that, the next access to the partition's tasks evicts them.
  void Evict(engine::EngineLock& lock, Stream& stream, std::span<const RowIndex> rows) noexcept
      REQUIRES(engine::engine_role);
  // The same for all rows of the partition: a first batch now, the others at later accesses to the
  // partition's tasks.
  void EvictSome(engine::EngineLock& lock, Stream& stream) noexcept REQUIRES(engine::engine_role);
  // The same for the rows that the steps of a rank hold no more. Call it after each command that
  // may have ended a hold. If there are more than some thousand rows, later accesses evict the
  // others.
  void EvictLetGo(engine::EngineLock& lock, Stream& stream) noexcept REQUIRES(engine::engine_role);
  // Applies changed terms of the partition. Waiting fetches of a task or field that STRICT does not
  // allow get their error. Errors: std::bad_alloc.
  void OnTermsChanged(engine::EngineLock& lock, Stream& stream) REQUIRES(engine::engine_role);
  // Expires leases whose time is up, of some thousand rows at most. Returns when the next lease
  // expires, which may be in the past; Leases::kNever if none does. While CLIENT PAUSE is on,
  // returns the end of the pause; fetches that the pause held back are answered then.
  std::int64_t EndLeases(engine::EngineLock& lock, std::int64_t now_us) noexcept
      REQUIRES(engine::engine_role);
  // Releases the connection's leases, of some thousand rows at most. Returns true if there are
  // more.
  bool OnConnectionClosed(engine::EngineLock& lock, std::int64_t connection) noexcept
      REQUIRES(engine::engine_role);

  // The stream's waiters are checked before the engine lock is released.
  void MarkChanged(engine::EngineLock& lock, Stream& stream) noexcept REQUIRES(engine::engine_role);
  void ServeWaiters(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role);

  void OnRowsChanged(store::Partition& partition,
                     std::span<const store::RowReference> rows) noexcept override;
  void OnRowsRemoved(store::Partition& partition,
                     std::span<const store::RowReference> rows) noexcept override;
  void OnPartitionRemoved(store::Partition& partition) noexcept override;
  [[nodiscard]] bool InUse(const store::Partition& partition) const noexcept override;

  LeaseId& LeaseIds() { return lease_ids_; }
  [[nodiscard]] std::int64_t NowMs() const { return parts_.clock.WallUs() / 1000; }
  // Calls function(stream) for each stream.
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
