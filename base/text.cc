#include "base/text.h"

#include <cassert>
#include <cstring>
#include <limits>
#include <new>

namespace sluice {

Text::Text(std::string_view bytes) {
  assert(bytes.size() <= std::numeric_limits<std::uint32_t>::max());
  void* const place = ::operator new(sizeof(Rep) + bytes.size());
  rep_ = new (place) Rep{.count = 1, .size = static_cast<std::uint32_t>(bytes.size())};
  if (!bytes.empty()) {  // memcpy does not accept the null data of an empty view
    std::memcpy(static_cast<char*>(place) + sizeof(Rep), bytes.data(), bytes.size());
  }
}

void Text::Retain() noexcept {
  if (rep_ != nullptr) {
    rep_->count.fetch_add(1, std::memory_order_relaxed);
  }
}

void Text::Drop() noexcept {
  if (rep_ != nullptr && rep_->count.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    rep_->~Rep();
    ::operator delete(rep_);
  }
}

}  // namespace sluice
