#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "tests/bench/timing.h"

namespace sluice::bench {

// One line of the result: `work` done by Sluice compared with `other`. Figures are text.
struct Row {
  std::string work;
  std::string ours;
  std::string other;
  std::optional<Spread> ratio;
  std::optional<double> needed;  // minimum of the median

  bool Holds() const { return !needed || (ratio && ratio->median >= *needed); }
};

// Rows in the order of measurement, and remarks about them. One caller at a time.
class Report {
 public:
  explicit Report(std::regex only) : only_(std::move(only)) {}

  // Returns whether the row of this name is selected; others need not be measured.
  bool Wants(const std::string& work) const { return std::regex_search(work, only_); }

  // Adds the row and prints it immediately: a run takes minutes.
  void Add(Row row);
  void Remark(std::string text);

  // Returns a Markdown table, followed by the remarks as a list.
  std::string Markdown() const;

  std::size_t size() const { return rows_.size(); }
  bool AllHold() const;

 private:
  std::regex only_;
  std::vector<Row> rows_;
  std::vector<std::string> remarks_;
};

// Returns "8.25 GB/s" for a rate in bytes per second.
std::string FormatRate(double bytes_per_second);

}  // namespace sluice::bench
