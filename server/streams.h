// Streams: all partitions' streams, and those that wait for a partition by its name: fetches while
// it does not exist, and writes while it is full.
//
// What changes rows makes a stream *unsettled*; before the engine is let go of, or the next command
// acts, Settle() answers those that can be answered, in order of arrival.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <boost/intrusive/list.hpp>

#include "server/clock.h"
#include "server/engine.h"
#include "server/parked.h"
#include "server/stream.h"
#include "store/budget.h"
#include "store/name_listener.h"
#include "store/rows.h"
#include "store/store.h"

namespace sluice::server {

// Errors: kNoTask, kNoField: the partition is STRICT, and does not know it.
store::Status CheckTask(const store::Partition& partition, std::string_view task);
store::Status CheckFields(const store::Partition& partition, std::span<const std::string> fields);

// A fetch that waits, in its partition's stream or for the partition to be made.
class StreamWaiter : public controller::Waiter {
 public:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  using controller::Waiter::Waiter;
  ~StreamWaiter() override = default;
  Hook homeless;             // while there is no partition
  Stream* stream = nullptr;  // while it waits in one, and while it is answered
};

// A write that waits until its partition is less full.
struct FullWriter {
  StreamWaiter::Hook hook;
  std::shared_ptr<Waker> waker;
  store::WriteResult::Wants wants;
  std::string_view key;      // of its one row; "": it has others
  store::Revision seen = 0;  // of that row, when it was refused last
  bool woken = false;        // and has not tried yet
};

class Streams final : public store::NameListener, public Settler {
 public:
  // What waits for one name. Everyone who does holds on to it (Hold, LetGo).
  struct Place {
    std::string name;
    std::size_t holders = 0;
    bool changed = false;
    boost::intrusive::list<
        StreamWaiter,
        boost::intrusive::member_hook<StreamWaiter, StreamWaiter::Hook, &StreamWaiter::homeless>,
        boost::intrusive::constant_time_size<false>>
        homeless;
    boost::intrusive::list<
        FullWriter,
        boost::intrusive::member_hook<FullWriter, StreamWaiter::Hook, &FullWriter::hook>,
        boost::intrusive::constant_time_size<false>>
        writers;  // in order of arrival
  };

  // All are borrowed. Becomes the engine's settler.
  Streams(store::Store& store, Engine& engine, const Clock& clock, store::Budget& budget);

  // The partition's, made where there is none; what was due by now is done first: leases whose time
  // is up, rows to evict.
  // Errors: std::bad_alloc.
  Stream& Of(store::Partition& partition);
  // Null: nobody asked for its tasks yet.
  static Stream* Find(store::Partition& partition) {
    return static_cast<Stream*>(partition.GetFollower());
  }

  // Errors: std::bad_alloc.
  Place& Hold(std::string_view name);
  void LetGo(Place& place) noexcept;
  // Waits in the partition's stream or, while there is none, for it.
  // Errors: std::bad_alloc.
  void Wait(Place& place, StreamWaiter& waiter);
  void Leave(StreamWaiter& waiter) noexcept;
  // Woken when there is room for what it wants. May be called again when there was none after all.
  void WaitForRoom(Place& place, FullWriter& writer) noexcept;
  void LeaveRoom(Place& place, FullWriter& writer) noexcept;

  // The rows go where all tasks of an AUTOEVICT partition have consumed them; where there is no
  // memory for that, when its tasks are asked for next.
  void Evict(Stream& stream, std::span<const store::RowIndex> rows) noexcept;
  // Of all its rows; where those are many, the first of them, and more when its tasks are asked for.
  void EvictSome(Stream& stream) noexcept;
  // Ends leases whose time is up, some thousand rows' at most. When the next one ends, which may be
  // in the past: Leases::kNever: none does.
  std::int64_t EndLeases(std::int64_t now_us) noexcept;
  // Ends the client's leases, some thousand rows' at most. True: there are more.
  bool ClientGone(std::int64_t client) noexcept;

  void MakeUnsettled(Stream& stream) noexcept;
  void PartitionGoes(Stream& stream) noexcept;
  void Settle() noexcept override;
  void NameChanged(std::string_view name) noexcept override;
  void AllGoes(store::Store& before) noexcept override;

  std::int64_t NextArrival() { return ++arrivals_; }
  controller::LeaseId& LeaseIds() { return lease_ids_; }
  [[nodiscard]] std::int64_t NowMs() const { return clock_.WallUs() / 1000; }
  // Calls function(stream) for each.
  template <typename Function>
  void ForEach(const Function& function) {
    for (Stream& stream : all_) {
      function(stream);
    }
  }

 private:
  void SettlePlace(Place& place) noexcept;
  void Remove(Stream& stream, std::span<const store::RowIndex> rows);
  static store::Revision RevisionOf(store::Partition* partition, const FullWriter& writer) noexcept;
  void LetIn(Stream& stream, StreamWaiter& waiter);
  void WakeWriters(Place& place, store::Partition* partition) noexcept;

  store::Store& store_;
  Engine& engine_;
  const Clock& clock_;
  store::Budget& budget_;
  controller::LeaseId lease_ids_ = 0;
  std::int64_t arrivals_ = 0;
  controller::Random seeds_;
  std::map<std::string, Place, std::less<>> places_;
  bool places_changed_ = false;
  template <Stream::Hook Stream::*kHook>
  using StreamList =
      boost::intrusive::list<Stream, boost::intrusive::member_hook<Stream, Stream::Hook, kHook>,
                             boost::intrusive::constant_time_size<false>>;
  StreamList<&Stream::in_all> all_;
  StreamList<&Stream::in_unsettled> unsettled_;
};

}  // namespace sluice::server
