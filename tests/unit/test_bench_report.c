// SPDX-License-Identifier: MIT
#include "tests/check.h"
Test(bench_report, x)
{
}
