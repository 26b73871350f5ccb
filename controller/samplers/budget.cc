// The sampler `budget`: fills each rank's share up to a sum of weights, such as a number of tokens.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "controller/samplers/groups.h"
#include "controller/samplers/samplers.h"
#include "controller/samplers/tag_value.h"
#include "controller/samplers/weight_tree.h"

namespace sluice::controller {
namespace {

// A unit is what is taken or left as a whole: a group of SIZE rows, by default one row.
//
// A fetch that waits asks after each change whether its shares are full. Sums of all ready rows
// answer that, as long as much is missing; only then a deal is made, which reads the rows.
class Budget final : public Sampler {
 public:
  static constexpr std::int64_t kRowsMax = 65536;  // of all shares, or one unit for each

  Budget(const SamplerChoice& choice, const Choosable& from)
      : choice_(choice),
        rows_max_(std::min(choice.count, std::max(choice.size, kRowsMax / choice.ranks))),
        weight_(SpelledName(choice.weight)),
        from_(from),
        groups_(MakeGroups(choice, from)) {}

  [[nodiscard]] bool KeepsRows() const override { return true; }
  void RowWritten(RowIndex row) override {
    groups_->RowWritten(row);
    if (from_.ready.Contains(row)) {
      SetWeight(row);
    }
    dealt_ = false;
  }
  void RowReady(RowIndex row) override {
    groups_->RowReady(row);
    SetWeight(row);
    dealt_ = false;
  }
  void RowTaken(RowIndex row) override {
    groups_->RowTaken(row);
    weights_.Set(row, 0);
    dealt_ = false;
  }
  void RowGone(RowIndex row) override {
    groups_->RowGone(row);
    dealt_ = false;
  }
  bool Work(std::int64_t& rows) override { return groups_->Work(rows); }

  bool Has(std::int64_t /*count*/) override {
    if (groups_->Count() < choice_.ranks) {
      return false;
    }
    if (choice_.underfill) {
      return true;
    }
    if (MayBeFull()) {
      Deal();
      return full_;
    }
    return false;
  }
  std::int64_t Available() override {
    if (Has(choice_.count)) {
      return choice_.count;
    }
    Deal();
    const auto fewer = [](const Rows& a, const Rows& b) { return a.size() < b.size(); };
    const auto fewest = std::min_element(shares_.begin(), shares_.end(), fewer);
    return fewest == shares_.end() ? 0 : static_cast<std::int64_t>(fewest->size());
  }
  std::int64_t Possible(std::int64_t rows, std::int64_t enough) override {
    const bool each_row = choice_.size == 1 && choice_.by.empty();
    const std::int64_t whole = groups_->Count();
    const std::int64_t enough_units = std::max({enough / choice_.size, whole, choice_.ranks}) + 1;
    const std::int64_t units = each_row ? rows : groups_->Possible(enough_units);
    if (units == whole) {
      return Available();  // nothing else can become available
    }
    return units < choice_.ranks ? 0 : units * choice_.size;
  }
  // Picks what was available. If the shares are not full, the rows are spread.
  void Pick(std::int64_t /*count*/, Random& /*random*/, Picked& picked) override {
    Deal();
    picked.shares = shares_;
  }
  void Explain(const Prospects& prospects, std::vector<std::string>& lines) override {
    if (const std::int64_t units = groups_->Count(); units < choice_.ranks) {
      const std::string_view kind = choice_.size > 1 ? "whole groups" : "ready rows";
      lines.push_back(fmt::format("sampler budget: there are {} {}{}, and RANKS is {}", units, kind,
                                  choice_.by.empty() ? "" : " with " + choice_.by, choice_.ranks));
    } else {
      lines.push_back(fmt::format("sampler budget: {} {:g} of {} in sum, TOKENS is {}",
                                  choice_.ranks > 1 ? "the lightest share has" : "the rows have",
                                  LightestShare(), choice_.weight, choice_.tokens));
    }
    if (choice_.size > 1) {
      groups_->Explain(prospects, lines);
    }
  }

 private:
  using Rows = std::vector<RowIndex>;
  using Shares = std::vector<Rows>;
  static constexpr std::int64_t kRowsFirst = 64;

  // Returns false if the shares cannot all be full. A share is full if it has more than rows_max_ -
  // SIZE rows, or if its sum and the next unit exceed TOKENS.
  [[nodiscard]] bool MayBeFull() const {
    const double unit_max = heaviest_ * static_cast<double>(choice_.size);
    const double least = std::max(Tokens() - unit_max, Tokens() / 2);
    constexpr double kRounding = 1 + 1e-9;  // of sums in different orders
    const double shares = std::floor(weights_.Sum() * kRounding / least);
    const auto by_rows = static_cast<double>(choice_.ranks) - shares;
    const std::int64_t rows = rows_max_ - choice_.size + 1;
    return by_rows * static_cast<double>(rows) <= static_cast<double>(from_.ready.Count());
  }

  // Reads twice as many units each time, until they fill all shares: usually far fewer units are
  // needed than are ready.
  void Deal() {
    if (dealt_) {
      return;
    }
    const std::int64_t count = groups_->Count();
    Rows rows;
    shares_.clear();
    full_ = false;
    for (std::int64_t units = std::max(kRowsFirst / choice_.size, choice_.ranks);
         count >= choice_.ranks && !full_; units *= 2) {
      rows.clear();
      groups_->First(std::min(units, count), rows);
      full_ = Fill(rows);
      if (units >= count) {
        break;
      }
    }
    if (!full_ && !shares_.empty() && choice_.ranks > 1) {
      Spread(rows);
    }
    dealt_ = true;
  }

  // Fills one share after another. Returns true if all are full: the next unit would exceed TOKENS
  // or rows_max_.
  bool Fill(const Rows& rows) {
    shares_.assign(Ranks(), {});
    std::size_t rank = 0;
    double sum = 0;
    for (std::size_t at = 0; at < rows.size(); at += Size()) {
      const double weight = WeightOfUnit(rows, at);
      if (!shares_[rank].empty() && sum + weight > Tokens()) {
        sum = 0;
        if (++rank == Ranks()) {
          return true;
        }
      }
      AddUnit(rows, at, shares_[rank]);
      sum += weight;
      if (sum >= Tokens() || !CanGrow(shares_[rank])) {
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
  void Spread(const Rows& rows) {
    shares_.assign(Ranks(), {});
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
      AddUnit(rows, at, shares_[rank]);
      if (CanGrow(shares_[rank])) {
        lightest.emplace(sum + weight, shares_[rank].size(), rank);
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
  void SetWeight(RowIndex row) {
    const double weight = WeightOf(from_.rows.TagOf(row), weight_);
    weights_.Set(row, weight);
    heaviest_ = std::max(heaviest_, weight);
  }
  [[nodiscard]] double WeightOfUnit(const Rows& rows, std::size_t at) const {
    double sum = 0;
    for (std::size_t i = at; i < at + Size(); ++i) {
      sum += weights_.Get(rows[i]);
    }
    return sum;
  }
  double LightestShare() {
    Deal();
    double least = std::numeric_limits<double>::max();
    for (const Rows& share : shares_) {
      double sum = 0;
      for (const RowIndex row : share) {
        sum += weights_.Get(row);
      }
      least = std::min(least, sum);
    }
    return least;
  }
  [[nodiscard]] std::size_t Size() const { return static_cast<std::size_t>(choice_.size); }
  [[nodiscard]] std::size_t Ranks() const { return static_cast<std::size_t>(choice_.ranks); }
  [[nodiscard]] double Tokens() const { return static_cast<double>(choice_.tokens); }

  SamplerChoice choice_;
  std::int64_t rows_max_;  // of one share
  std::string weight_;     // as tags spell it
  Choosable from_;
  std::unique_ptr<Groups> groups_;
  WeightTree weights_;   // of the ready rows
  double heaviest_ = 0;  // of all weights so far

  // The shares that a fetch would get now; valid while dealt_.
  bool dealt_ = false;
  Shares shares_;      // none if there are fewer units than ranks
  bool full_ = false;  // no share can grow
};

}  // namespace

std::unique_ptr<Sampler> MakeBudget(const SamplerChoice& choice, const Choosable& from) {
  return std::make_unique<Budget>(choice, from);
}

}  // namespace sluice::controller
