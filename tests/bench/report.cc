#include "tests/bench/report.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

namespace sluice::bench {
namespace {

std::string FormatRatio(const std::optional<Spread>& ratio) {
  if (!ratio) {
    return "-";
  }
  if (ratio->min == ratio->max) {
    return fmt::format("{:.3f}", ratio->median);
  }
  return fmt::format("{:.2f} ({:.2f}..{:.2f})", ratio->median, ratio->min, ratio->max);
}

std::string FormatLine(const Row& row) {
  const std::string needed = row.needed ? fmt::format("{:.2f}", *row.needed) : "-";
  const char* const ok = !row.needed ? "-" : row.Holds() ? "yes" : "**no**";
  return fmt::format("| {} | {} | {} | {} | {} | {} |\n", row.work, row.ours, row.other,
                     FormatRatio(row.ratio), needed, ok);
}

}  // namespace

void Report::Add(Row row) {
  fmt::print("{}", FormatLine(row));
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

void Report::Remark(std::string text) {
  remarks_.push_back(std::move(text));
}

std::string Report::Markdown() const {
  std::string text =
      "| work | ours | other | ratio: median (min..max) | needed | ok |\n"
      "| --- | ---: | ---: | ---: | ---: | --- |\n";
  for (const Row& row : rows_) {
    text += FormatLine(row);
  }
  for (const std::string& remark : remarks_) {
    text += (&remark == remarks_.data() ? "\n- " : "- ") + remark + "\n";
  }
  return text;
}

bool Report::AllHold() const {
  return std::all_of(rows_.begin(), rows_.end(), [](const Row& row) { return row.Holds(); });
}

std::string FormatRate(double bytes_per_second) {
  return fmt::format("{:.2f} GB/s", bytes_per_second / 1e9);
}

}  // namespace sluice::bench
