#include "controller/leases.h"

#include <catch2/catch.hpp>

namespace sluice::controller {
namespace {

using Rows = std::vector<RowIndex>;

Leases::Loan For(std::int64_t ms, std::int64_t client = 0, std::optional<RankStep> step = {}) {
  return {.terms = {.ms = ms, .connection = client}, .step = step, .now_us = 1000};
}

TEST_CASE("a lease holds its rows until it expires or they are dropped", "[leases]") {
  Leases leases;
  leases.Lend(7, Rows{3, 1, 2}, For(5, 0, RankStep{.rank = 1, .step = 4}));
  CHECK(leases.HolderOf(1) == 7);
  CHECK(leases.HolderOf(4) == 0);
  CHECK(leases.HolderOf(-1) == 0);
  leases.Drop(1);
  leases.Drop(4);
  CHECK(leases.HolderOf(1) == 0);
  CHECK(leases.Rows() == 2);
  CHECK(leases.Count() == 1);
  const Leases::Ended ended = leases.End(7);
  CHECK(ended.rows == Rows{3, 2});
  REQUIRE(ended.step.has_value());
  CHECK(ended.step->rank == 1);
  CHECK(ended.step->step == 4);
  CHECK_FALSE(leases.Runs(7));
  CHECK(leases.Rows() == 0);
  CHECK(leases.NextDeadlineUs() == Leases::kNever);
  CHECK(leases.End(7).rows.empty());
}

TEST_CASE("a row that was dropped and leased again belongs to the new lease", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{1, 2}, For(5));
  leases.Drop(1);
  leases.Lend(2, Rows{1}, For(5));
  CHECK(leases.End(1).rows == Rows{2});
  CHECK(leases.HolderOf(1) == 2);
}

TEST_CASE("a lease without rows ends", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{1, 2}, For(5));
  leases.Drop(1);
  leases.Drop(2);
  CHECK_FALSE(leases.Runs(1));
  CHECK(leases.Renew(1, {.ms = 9}, 0) == 0);
  CHECK(leases.FirstDue(Leases::kNever - 1) == 0);
}

TEST_CASE("leases expire in the order of their deadlines", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{1}, For(50));
  leases.Lend(2, Rows{2}, For(5));
  leases.Lend(3, Rows{3}, For(std::numeric_limits<std::int64_t>::max()));
  CHECK(leases.NextDeadlineUs() == 6000);
  CHECK(leases.FirstDue(5999) == 0);
  CHECK(leases.FirstDue(6000) == 2);
  CHECK(leases.Renew(2, {.ms = 100}, 2000) == 1);
  CHECK(leases.NextDeadlineUs() == 51000);
  leases.End(1);
  CHECK(leases.NextDeadlineUs() == 102000);
  leases.End(2);
  CHECK(leases.NextDeadlineUs() == Leases::kNever);
  CHECK(leases.FirstDue(Leases::kNever - 1) == 0);
}

TEST_CASE("the leases of a client are found, and a renewal binds only if asked to", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{1}, For(5, 9));
  leases.Lend(2, Rows{2}, For(5));
  leases.Lend(3, Rows{3}, For(5, 9));
  CHECK(leases.BoundTo(9, 0) == 1);
  CHECK(leases.BoundTo(9, 1) == 3);
  CHECK(leases.BoundTo(9, 3) == 0);
  CHECK(leases.BoundTo(8, 0) == 0);
  leases.Renew(1, {.ms = 5}, 0);
  leases.Renew(2, {.ms = 5, .connection = 8}, 0);
  leases.Renew(3, {.ms = 5, .connection = 8}, 0);
  CHECK(leases.BoundTo(9, 1) == 0);
  CHECK(leases.BoundTo(8, 0) == 2);
  CHECK(leases.BoundTo(8, 2) == 3);
}

TEST_CASE("a lease of many rows ends in parts, a lease of a step in one", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{1, 2, 3, 4, 5}, For(5));
  leases.Lend(2, Rows{6, 7, 8}, For(5, 0, RankStep{.rank = 0, .step = 1}));
  leases.Drop(4);
  CHECK(leases.End(1, 2).rows == Rows{5});
  CHECK(leases.Runs(1));
  CHECK(leases.FirstDue(6000) == 1);
  CHECK(leases.HolderOf(3) == 1);
  CHECK(leases.End(1, 2).rows == Rows{3, 2});
  CHECK(leases.End(1, 2).rows == Rows{1});
  CHECK_FALSE(leases.Runs(1));
  CHECK(leases.End(2, 1).rows == Rows{6, 7, 8});
  CHECK(leases.Count() == 0);
  CHECK(leases.Rows() == 0);
}

TEST_CASE("leased rows are listed in order", "[leases]") {
  Leases leases;
  leases.Lend(1, Rows{5000, 1}, For(5));
  leases.Lend(2, Rows{70}, For(5));
  leases.Drop(1);
  Rows rows;
  leases.ForEachRow([&rows](RowIndex row) { rows.push_back(row); });
  CHECK(rows == Rows{70, 5000});
}

}  // namespace
}  // namespace sluice::controller
