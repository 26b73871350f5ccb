#include "base/log.h"

#include <memory>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace sluice {
namespace {

spdlog::level::level_enum LevelOf(std::string_view name) {
  if (name == "debug") {
    return spdlog::level::trace;
  }
  if (name == "verbose") {
    return spdlog::level::debug;
  }
  return name == "warning" ? spdlog::level::warn : spdlog::level::info;
}

}  // namespace

bool OpenLog(std::string_view level, const std::string& file) {
  try {
    auto logger =
        file.empty() ? spdlog::stderr_logger_mt("sluice") : spdlog::basic_logger_mt("sluice", file);
    logger->set_pattern("%P %Y-%m-%d %H:%M:%S.%e %l %v");
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex&) {
    return false;
  }
  SetLogLevel(level);
  return true;
}

void SetLogLevel(std::string_view level) {
  spdlog::set_level(LevelOf(level));
}

void Log(LogLevel level, std::string_view message) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::trace, spdlog::level::debug,
                                                   spdlog::level::info, spdlog::level::warn};
  spdlog::log(kLevels[static_cast<int>(level)], message);
}

}  // namespace sluice
