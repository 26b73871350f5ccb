// Leases: which rows of a task are leased to a consumer, and until when.
//
// A lease is one object in three sets: by id, by deadline, and by connection if it is bound to one.
// Each leased row points at its lease, so that a row leaves its lease without a search.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <boost/intrusive/set.hpp>

#include "controller/fetch.h"
#include "controller/rows/row_map.h"

namespace sluice::controller {

class Leases {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  Leases() = default;
  Leases(Leases&&) = default;
  // NOLINTNEXTLINE(bugprone-exception-escape): see RowMap, which is moved
  Leases& operator=(Leases&&) = default;
  ~Leases();

  // Grants a lease. REQUIRES: no row is leased; `id` is new. Errors: std::bad_alloc; nothing
  // changed then.
  struct Loan {
    LeaseTerms terms;
    std::optional<RankStep> step;
    std::int64_t now_us = 0;
  };
  void Lend(LeaseId id, std::span<const RowIndex> rows, const Loan& loan);
  // Adds rows to an active lease. REQUIRES: none of them is leased.
  // Errors: std::bad_alloc; nothing changed then.
  void LendMore(LeaseId id, std::span<const RowIndex> rows);
  // Renews the lease for `terms.ms` from now and binds it as `terms` say. Returns how many rows it
  // holds; 0 if it has ended.
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) noexcept;
  // Takes the row out of its lease. A lease without rows ends.
  void Drop(RowIndex row) noexcept;
  // Ends the lease. Returns the rows that it still held and its step. A lease without a step that
  // holds more than `rows_max` rows keeps the rest, with its deadline passed.
  struct Ended {
    std::vector<RowIndex> rows;
    std::optional<RankStep> step;
  };
  Ended End(LeaseId id, std::size_t rows_max = SIZE_MAX) noexcept;

  // Returns 0 if the row is not leased.
  [[nodiscard]] LeaseId HolderOf(RowIndex row) const noexcept;
  [[nodiscard]] bool Runs(LeaseId id) const { return leases_.find(id) != leases_.end(); }
  [[nodiscard]] std::int64_t Rows() const { return holder_.Count(); }
  // Calls function(row) for each leased row, in order.
  template <typename Function>
  void ForEachRow(const Function& function) const {
    holder_.ForEach(function);
  }
  [[nodiscard]] std::size_t Count() const { return leases_.size(); }
  // The deadline of the lease that expires first; kNever if none does.
  [[nodiscard]] std::int64_t NextDeadlineUs() const {
    return by_deadline_.empty() ? kNever : by_deadline_.begin()->deadline_us;
  }
  // Returns 0 if none is due.
  [[nodiscard]] LeaseId FirstDue(std::int64_t now_us) const {
    return NextDeadlineUs() <= now_us ? by_deadline_.begin()->id : 0;
  }
  // Returns the first lease after `after` that is bound to the connection; 0 if there is none.
  [[nodiscard]] LeaseId BoundTo(std::int64_t connection, LeaseId after) const noexcept;
  // Memory used.
  [[nodiscard]] std::int64_t Bytes() const noexcept;

 private:
  using Hook =
      boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Lease {
    LeaseId id = 0;
    std::vector<RowIndex> rows;  // as granted; holder_ says which are still leased
    std::int64_t held = 0;       // rows still leased
    std::int64_t deadline_us = kNever;
    std::int64_t connection = 0;        // 0: not bound
    std::optional<RankStep> step = {};  // the step that it was granted for
    Hook in_leases = {};
    Hook in_deadlines = {};
    Hook in_bound = {};  // if it is bound
  };
  struct ById {
    using type = LeaseId;
    type operator()(const Lease& lease) const { return lease.id; }
  };
  struct ByDeadline {
    using type = std::pair<std::int64_t, LeaseId>;
    type operator()(const Lease& lease) const { return {lease.deadline_us, lease.id}; }
  };
  struct ByConnection {
    using type = std::pair<std::int64_t, LeaseId>;
    type operator()(const Lease& lease) const { return {lease.connection, lease.id}; }
  };
  template <typename Key, Hook Lease::*hook>
  using Set = boost::intrusive::set<Lease, boost::intrusive::member_hook<Lease, Hook, hook>,
                                    boost::intrusive::key_of_value<Key>>;

  [[nodiscard]] Lease* Find(LeaseId id) noexcept;
  void EndSome(Lease& lease, std::size_t rows, Ended& ended) noexcept;
  void Bind(Lease& lease, std::int64_t connection) noexcept;
  void Erase(Lease& lease) noexcept;

  RowMap<Lease*> holder_;
  Set<ById, &Lease::in_leases> leases_;
  Set<ByDeadline, &Lease::in_deadlines> by_deadline_;
  Set<ByConnection, &Lease::in_bound> bound_;
};

}  // namespace sluice::controller
