// The sampler `budget`: fills each rank's share up to a sum of weights, such as a number of tokens.
#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "controller/rows/row_map.h"
#include "controller/samplers/groups.h"
#include "controller/samplers/samplers.h"
#include "controller/samplers/tag_value.h"

namespace sluice::controller {
namespace {

// A unit is what is taken or left as a whole: a group of SIZE rows, by default one row. Every
// change may mean another deal for a fetch that waits, so a deal has at most kRowsMax rows.
class Budget final : public Sampler {
 public:
  static constexpr std::int64_t kRowsMax = 65536;

  Budget(const SamplerChoice& choice, const Choosable& from)
      : choice_(choice),
        rows_max_(std::min(choice.count, std::max(choice.size, kRowsMax / choice.ranks))),
        weight_(SpelledName(choice.weight)),
        from_(from),
        groups_(MakeGroups(choice, from)) {}

  [[nodiscard]] bool KeepsRows() const override { return true; }
  void RowWritten(RowIndex row) override {
    groups_->RowWritten(row);
    const double weight = WeightOf(from_.rows.TagOf(row), weight_);
    if (weight > 0) {
      weights_.Set(row, weight);
    } else {
      weights_.Erase(row);
    }
    dealt_ = false;
  }
  void RowReady(RowIndex row) override {
    groups_->RowReady(row);
    dealt_ = false;
  }
  void RowTaken(RowIndex row) override {
    groups_->RowTaken(row);
    dealt_ = false;
  }
  void RowGone(RowIndex row) override {
    groups_->RowGone(row);
    weights_.Erase(row);
    dealt_ = false;
  }
  bool Work(std::int64_t& rows) override { return groups_->Work(rows); }

  // COUNT if every share is full, or needs not be.
  std::int64_t Available() override {
    Deal();
    return full_ || (choice_.underfill && fewest_ > 0) ? choice_.count : fewest_;
  }
  std::int64_t Possible(std::int64_t rows) override {
    const bool each_row = choice_.size == 1 && choice_.by.empty();
    const std::int64_t units = each_row ? rows : groups_->Possible();
    if (units == groups_->Count()) {
      return Available();  // nothing else can become available
    }
    return units < choice_.ranks ? 0 : units * choice_.size;
  }
  // Picks what Available() has dealt.
  void Pick(std::int64_t /*count*/, Random& /*random*/, Picked& picked) override {
    Deal();
    picked.shares = shares_;
  }
  void Explain(const Prospects& prospects, std::vector<std::string>& lines) override {
    Deal();
    double least = shares_.empty() ? 0 : std::numeric_limits<double>::max();
    for (const Rows& share : shares_) {
      least = std::min(least, WeightOfRows(share));
    }
    lines.push_back(fmt::format("sampler budget: the {} {:g} of {} in sum, TOKENS is {}",
                                choice_.ranks > 1 ? "lightest share has" : "ready rows have", least,
                                choice_.weight, choice_.tokens));
    if (choice_.size > 1) {
      groups_->Explain(prospects, lines);
    }
  }

 private:
  using Rows = std::vector<RowIndex>;
  using Shares = std::vector<Rows>;
  static constexpr std::int64_t kUnitsFirst = 64;

  // Reads twice as many units each time, until they fill all shares: usually far fewer units are
  // needed than are ready.
  void Deal() {
    if (dealt_) {
      return;
    }
    const std::int64_t count = groups_->Count();
    if (count < choice_.ranks) {
      SetShares({}, false);
      return;
    }
    Rows rows;
    Shares shares;
    bool full = false;
    for (std::int64_t units = std::min(kUnitsFirst, count); !full;) {
      rows.clear();
      groups_->First(units, rows);
      full = Fill(rows, shares);
      if (units == count) {
        break;
      }
      units = std::min(units * 2, count);
    }
    if (!full && choice_.ranks > 1) {
      Spread(rows, shares);
    }
    SetShares(std::move(shares), full);
  }
  void SetShares(Shares shares, bool full) {
    shares_ = std::move(shares);
    const auto fewer = [](const Rows& a, const Rows& b) { return a.size() < b.size(); };
    const auto fewest = std::min_element(shares_.begin(), shares_.end(), fewer);
    fewest_ = fewest == shares_.end() ? 0 : static_cast<std::int64_t>(fewest->size());
    full_ = full;
    dealt_ = true;
  }

  // Fills one share after another. Returns true if all are full: the next unit would exceed TOKENS
  // or rows_max_.
  bool Fill(const Rows& rows, Shares& shares) const {
    shares.assign(Ranks(), {});
    std::size_t rank = 0;
    double sum = 0;
    for (std::size_t at = 0; at < rows.size(); at += Size()) {
      const double weight = WeightOfUnit(rows, at);
      if (!shares[rank].empty() && sum + weight > Tokens()) {
        sum = 0;
        if (++rank == Ranks()) {
          return true;
        }
      }
      AddUnit(rows, at, shares[rank]);
      sum += weight;
      if (sum >= Tokens() || !CanGrow(shares[rank])) {
        sum = 0;
        if (++rank == Ranks()) {
          return true;
        }
      }
    }
    return false;
  }

  // Gives each unit to the rank with the smallest sum, so that no rank stays empty if there are
  // enough units; until one fits nowhere.
  void Spread(const Rows& rows, Shares& shares) const {
    shares.assign(Ranks(), {});
    using Load = std::tuple<double, std::size_t, std::size_t>;  // sum, rows, rank
    std::priority_queue<Load, std::vector<Load>, std::greater<>> lightest;
    for (std::size_t rank = 0; rank < Ranks(); ++rank) {
      lightest.emplace(0, 0, rank);
    }
    for (std::size_t at = 0; at < rows.size() && !lightest.empty(); at += Size()) {
      const auto [sum, size, rank] = lightest.top();
      const double weight = WeightOfUnit(rows, at);
      if (size > 0 && sum + weight > Tokens()) {
        return;
      }
      lightest.pop();
      AddUnit(rows, at, shares[rank]);
      if (CanGrow(shares[rank])) {
        lightest.emplace(sum + weight, shares[rank].size(), rank);
      }
    }
  }

  void AddUnit(const Rows& rows, std::size_t at, Rows& share) const {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(at);
    share.insert(share.end(), begin, begin + choice_.size);
  }
  [[nodiscard]] bool CanGrow(const Rows& share) const {
    return static_cast<std::int64_t>(share.size()) + choice_.size <= rows_max_;
  }
  [[nodiscard]] double WeightOfUnit(const Rows& rows, std::size_t at) const {
    double sum = 0;
    for (std::size_t i = at; i < at + Size(); ++i) {
      sum += weights_.Find(rows[i]);
    }
    return sum;
  }
  [[nodiscard]] double WeightOfRows(const Rows& rows) const {
    double sum = 0;
    for (const RowIndex row : rows) {
      sum += weights_.Find(row);
    }
    return sum;
  }
  [[nodiscard]] std::size_t Size() const { return static_cast<std::size_t>(choice_.size); }
  [[nodiscard]] std::size_t Ranks() const { return static_cast<std::size_t>(choice_.ranks); }
  [[nodiscard]] double Tokens() const { return static_cast<double>(choice_.tokens); }

  SamplerChoice choice_;
  std::int64_t rows_max_;  // of one share
  std::string weight_;     // as tags spell it
  Choosable from_;
  std::unique_ptr<Groups> groups_;
  RowMap<double> weights_;  // above 0

  // The shares that a fetch would get now; valid while dealt_.
  bool dealt_ = false;
  Shares shares_;            // none if there are fewer units than ranks
  bool full_ = false;        // no share can grow
  std::int64_t fewest_ = 0;  // rows of the smallest share
};

}  // namespace

std::unique_ptr<Sampler> MakeBudget(const SamplerChoice& choice, const Choosable& from) {
  return std::make_unique<Budget>(choice, from);
}

}  // namespace sluice::controller
