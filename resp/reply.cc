// Reply: encoding of the elements. reply_pieces.cc stores the bytes.
#include "resp/reply.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace sluice::resp {
namespace {

constexpr std::size_t kBulkInOnePieceMax = std::size_t{4} * 1024;
constexpr std::size_t kHeaderBytesMax = 24;  // marker, 20 characters of an int64, CRLF
constexpr std::string_view kLineEnd = "\r\n";

char* WriteText(char* out, std::string_view text) {
  return std::copy(text.begin(), text.end(), out);
}

char* WriteHeader(char* out, char marker, std::int64_t number) {
  *out++ = marker;
  out = std::to_chars(out, out + kHeaderBytesMax, number).ptr;
  return WriteText(out, kLineEnd);
}

// Replaces CR and LF, so that text from a client cannot end the line early.
char* WriteLineText(char* out, std::string_view text) {
  return std::transform(text.begin(), text.end(), out,
                        [](char c) { return c == '\r' || c == '\n' ? ' ' : c; });
}

// Returns at most `bytes_max` bytes of `text`, without a partial UTF-8 character at the end.
std::string_view Cut(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) {
    return text;
  }
  std::size_t size = bytes_max;
  while (size + 3 > bytes_max && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) {
    --size;
  }
  return text.substr(0, size);
}

std::int64_t Signed(std::size_t count) {
  return static_cast<std::int64_t>(count);
}

}  // namespace

Version Reply::GetVersion() const {
  return version_;
}

void Reply::SetVersion(Version version) {
  version_ = version;
}

void Reply::Simple(std::string_view text) {
  Line('+', text);
}

void Reply::Error(std::string_view text) {
  Line('-', Cut(text, kErrorBytesMax));
}

void Reply::Integer(std::int64_t value) {
  Header(':', value);
}

void Reply::Bulk(std::string_view bytes) {
  if (const std::size_t needed = bytes.size() + kHeaderBytesMax + 2; needed <= kBulkInOnePieceMax) {
    char* out = Contiguous(needed);
    out = WriteHeader(out, '$', Signed(bytes.size()));
    out = WriteText(out, bytes);
    Written(WriteText(out, kLineEnd));
    return;
  }
  Header('$', Signed(bytes.size()));
  Append(bytes);
  Append(kLineEnd);
}

void Reply::Double(double value) {
  std::array<char, 32> buffer;
  const char* const end = std::isnan(value) ? WriteText(buffer.data(), "nan")  // never "-nan"
                                            : fmt::format_to(buffer.data(), "{}", value);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  if (version_ == Version::k3) {
    Line(',', text);
  } else {
    Bulk(text);
  }
}

void Reply::Null() {
  Append(version_ == Version::k3 ? "_\r\n" : "$-1\r\n");
}

void Reply::NullArray() {
  Append(version_ == Version::k3 ? "_\r\n" : "*-1\r\n");
}

void Reply::Verbatim(std::string_view text) {
  if (version_ == Version::k2) {
    Bulk(text);
    return;
  }
  constexpr std::string_view kFormat = "txt:";
  Header('=', Signed(kFormat.size() + text.size()));
  Append(kFormat);
  Append(text);
  Append(kLineEnd);
}

void Reply::Array(std::size_t count) {
  Header('*', Signed(count));
}

void Reply::Map(std::size_t count) {
  if (version_ == Version::k3) {
    Header('%', Signed(count));
  } else {
    Header('*', Signed(2 * count));
  }
}

void Reply::Set(std::size_t count) {
  Header(version_ == Version::k3 ? '~' : '*', Signed(count));
}

void Reply::Push(std::size_t count) {
  Header(version_ == Version::k3 ? '>' : '*', Signed(count));
}

void Reply::Header(char marker, std::int64_t number) {
  Written(WriteHeader(Contiguous(kHeaderBytesMax), marker, number));
}

void Reply::Line(char marker, std::string_view text) {
  // The text usually fits in one block; the loop is for very long simple strings.
  Append({&marker, 1});
  while (!text.empty()) {
    char* const out = Contiguous(1);
    const std::size_t bytes = std::min(text.size(), SpaceInBlock());
    Written(WriteLineText(out, text.substr(0, bytes)));
    text.remove_prefix(bytes);
  }
  Append(kLineEnd);
}

}  // namespace sluice::resp
