// Files of the kernel: what MemoryFiles imitates.
#include <filesystem>

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "server/persistence/log.h"

namespace sluice::server {
namespace {

using Mode = FileSystem::Mode;

class TestFolder {
 public:
  TestFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "sluice-files-XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::string& Path() const { return path_; }
  [[nodiscard]] Folder Open() const {
    auto folder = Folder::Open(KernelFiles(), path_);
    REQUIRE(folder.ok());
    return *std::move(folder);
  }

 private:
  std::string path_;
};

TEST_CASE("a log is read again from the kernel's files", "[persistence]") {
  const TestFolder test;
  Folder folder = test.Open();
  const LogStart start = {.number = 1, .first = 1, .salt = 3};
  {
    auto log = LogWriter::Create(folder, start);
    REQUIRE(log.ok());
    REQUIRE(log->Reserve(4096).ok());
    LogFrames frames;
    frames.Add("one");
    frames.Add("two");
    REQUIRE(log->Write(frames).ok());
    REQUIRE(log->Sync().ok());
  }
  auto file = folder.Open(LogName(1), Mode::kRead);
  REQUIRE(file.ok());
  const auto found = ReadLogStart(*file);
  REQUIRE(found.ok());
  REQUIRE(*found);
  std::string all;
  const auto end = ReadLog(*file, **found, [&](Sequence, std::string_view payload) {
    all += payload;
    return Status();
  });
  REQUIRE(end.ok());
  CHECK(all == "onetwo");
  CHECK(end->last == 2);
  CHECK(end->torn_bytes == 0);

  struct stat about = {};
  REQUIRE(stat((test.Path() + "/" + LogName(1)).c_str(), &about) == 0);
  CHECK((about.st_mode & 0777U) == 0600U);
  CHECK(LogWriter::Create(folder, start).GetStatus().Message() ==
        test.Path() + "/log-0000000001: cannot create: File exists");
}

TEST_CASE("names in a folder change as its owner says", "[persistence]") {
  const TestFolder test;
  Folder folder = test.Open();
  REQUIRE(folder.MakeFolder("checkpoints").ok());
  auto inner = folder.OpenFolder("checkpoints");
  REQUIRE(inner.ok());
  {
    auto file = inner->Open("a", Mode::kCreate);
    REQUIRE(file.ok());
    REQUIRE(file->Write(3, "xyz").ok());
    REQUIRE(file->Truncate(5).ok());
    REQUIRE(file->Sync().ok());
  }
  REQUIRE(inner->Rename("a", "b").ok());
  REQUIRE(inner->Sync().ok());
  CHECK(*inner->Names() == std::vector<std::string>{"b"});
  auto file = inner->Open("b", Mode::kWrite);
  REQUIRE(file.ok());
  std::string bytes(8, '?');
  CHECK(*file->Read(0, bytes) == 5);
  CHECK(bytes == std::string("\0\0\0xy???", 8));
  CHECK(*file->Size() == 5);
  CHECK_FALSE(folder.RemoveFolder("checkpoints").ok());
  REQUIRE(inner->Remove("b").ok());
  REQUIRE(folder.RemoveFolder("checkpoints").ok());
  CHECK(folder.Names()->empty());
}

TEST_CASE("what is not a file of one's own is refused by name", "[persistence]") {
  const TestFolder test;
  Folder folder = test.Open();
  REQUIRE(symlink("/etc/hostname", (test.Path() + "/link").c_str()) == 0);
  CHECK(folder.Open("link", Mode::kRead).GetStatus().Message() ==
        test.Path() + "/link: cannot open: Too many levels of symbolic links");
  CHECK(folder.Open("gone", Mode::kWrite).GetStatus().Message() ==
        test.Path() + "/gone: cannot open: No such file or directory");
  REQUIRE(folder.MakeFolder("folder").ok());
  CHECK(folder.Open("folder", Mode::kWrite).GetStatus().Message() ==
        test.Path() + "/folder: cannot open: Is a directory");
  CHECK(Folder::Open(KernelFiles(), test.Path() + "/gone").GetStatus().Message() ==
        test.Path() + "/gone: cannot open the folder: No such file or directory");
}

TEST_CASE("a folder has one server", "[persistence]") {
  const TestFolder test;
  Folder second = test.Open();
  {
    Folder first = test.Open();
    REQUIRE(first.Lock().ok());
    CHECK(second.Lock().Message() == test.Path() + ": another server has this folder");
  }
  CHECK(second.Lock().ok());
}

}  // namespace
}  // namespace sluice::server
