// What command_faults_test.cc asks for, by the command that it runs. A command of the table without
// a request fails the test.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sluice::server {

const std::multimap<std::string, std::vector<std::string>>& FaultRequests();

}  // namespace sluice::server
