#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "tests/bench/timing.h"

namespace sluice::bench {

// One line of the result: `work` done by us against `other`. Figures are text, ready to print.
struct Row {
  std::string work;
  std::string ours;
  std::string other;
  std::optional<Spread> ratio;
  std::optional<double> needed;  // the median must reach it

  bool Holds() const { return !needed || (ratio && ratio->median >= *needed); }
};

// Rows as they are measured, and remarks that belong to them. One caller at a time.
class Report {
 public:
  explicit Report(std::regex only) : only_(std::move(only)) {}

  // Whether the row of this name is wanted; what is not need not be measured.
  bool Wants(const std::string& work) const { return std::regex_search(work, only_); }

  // Adds it and prints it at once: a run takes minutes.
  void Add(Row row);
  void Remark(std::string text);

  // A Markdown table, and below it the remarks as a list.
  std::string Markdown() const;

  std::size_t size() const { return rows_.size(); }
  bool AllHold() const;

 private:
  std::regex only_;
  std::vector<Row> rows_;
  std::vector<std::string> remarks_;
};

// "8.25 GB/s" of a rate in bytes per second.
std::string FormatRate(double bytes_per_second);

}  // namespace sluice::bench
