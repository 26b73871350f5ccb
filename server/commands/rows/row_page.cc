#include "server/commands/rows/row_page.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "store/tags/json_text.h"
#include "store/tensor/torch/loader.h"
#include "store/tensor/values.h"

namespace sluice::server {
namespace {

using store::DType;
using Cell = store::ReadResult::Cell;

constexpr std::size_t kValuesShown = 8;
constexpr std::size_t kValuesShownWhole = 256;
constexpr std::size_t kTextBytesShown = 72;
constexpr std::size_t kTextBytesShownWhole = 16384;

class Page {
 public:
  Page(bool whole, store::TorchLoader* loader)
      : values_max_(whole ? kValuesShownWhole : kValuesShown),
        text_max_(whole ? kTextBytesShownWhole : kTextBytesShown),
        loader_(loader) {}

  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  std::string Take() && {
    text_.pop_back();  // the program that shows the page ends the last line
    return std::move(text_);
  }

  void AddBytes(std::string_view bytes) {
    const std::string_view shown = bytes.substr(0, text_max_);
    std::string quoted;
    store::AppendJsonString(Printable(shown), quoted);
    Add(": {}{}\n", quoted, shown.size() < bytes.size() ? "..." : "");
  }

  void AddValues(DType dtype, std::string_view bytes) {
    const std::size_t size = store::SizeOf(dtype);
    const std::size_t count = bytes.size() / size;
    std::string why_not;
    const SluiceTorchApi* const torch = Torch(why_not);
    if (count > 0) {
      AddStatistics(dtype, bytes, torch);
    }
    if (torch == nullptr && store::IsSmallFloat(dtype)) {
      Add("\n");
    } else {
      Add(":");
      const std::size_t shown = std::min(count, values_max_);
      for (std::size_t i = 0; i < shown; ++i) {
        text_ += ' ';
        store::FormatValue(dtype, bytes.data() + i * size, torch, text_);
      }
      Add("{}\n", shown < count ? " ..." : "");
    }
    if (torch == nullptr && count > 0) {
      Add("    (statistics need libtorch: {})\n", why_not);
    }
  }

 private:
  const SluiceTorchApi* Torch(std::string& why_not) {
    why_not = "this server was built without it";
    return loader_ == nullptr ? nullptr : loader_->Get(&why_not);
  }
  void AddStatistics(DType dtype, std::string_view bytes, const SluiceTorchApi* torch) {
    SluiceTorchStats stats = {};
    const auto count = static_cast<std::int64_t>(bytes.size() / store::SizeOf(dtype));
    if (torch == nullptr ||
        torch->stats(static_cast<SluiceDType>(dtype), bytes.data(), count, &stats) != 0) {
      return;
    }
    if (stats.integer != 0) {
      Add(", min {}, mean {:.6g}, max {}", stats.int_min, stats.mean, stats.int_max);
    } else {
      Add(", min {:.6g}, mean {:.6g}, max {:.6g}", stats.min, stats.mean, stats.max);
    }
  }

  std::size_t values_max_;
  std::size_t text_max_;
  store::TorchLoader* loader_;
  std::string text_;
};

}  // namespace

std::string RowPage(const RowPageHead& head, const store::ReadResult& read,
                    store::TorchLoader* torch) {
  Page page(head.whole, torch);
  page.Add("partition {}, row {}, index {}\n", head.partition, head.key, read.indexes.front());
  page.Add("tag {}\n", head.tag);
  for (std::size_t c = 0; c < read.columns.size(); ++c) {
    const store::ReadResult::Column& column = read.columns[c];
    const Cell& cell = *read.CellsOf(c);
    const std::string_view bytes = cell.Bytes();
    page.Add("{} {} {}, {} bytes", column.name.View(), store::NameOf(column.dtype),
             store::ShapeText(cell.Shape()), bytes.size());
    if (store::IsByteString(column.dtype)) {
      page.AddBytes(bytes);
    } else {
      page.AddValues(column.dtype, bytes);
    }
  }
  return std::move(page).Take();
}

}  // namespace sluice::server
