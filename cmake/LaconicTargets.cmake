# How every target of the project is made, so that each folder's CMakeLists.txt only lists its files.
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Protobuf 3.21 REQUIRED)
if(LACONIC_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

add_library(laconic_flags INTERFACE)
target_compile_features(laconic_flags INTERFACE cxx_std_20)
# A fused multiply-add is written where it is meant and nowhere else: results must not depend on the compiler's mood.
target_compile_options(laconic_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
  -Wno-missing-field-initializers  # designated initializers leave members out on purpose
  -ffp-contract=off
  -fno-semantic-interposition  # position-independent, but a function may call and inline its neighbours as ever
  $<$<BOOL:${LACONIC_WARNINGS_AS_ERRORS}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # g++ 12 reports "x" + std::string (its bug 105651)
target_include_directories(laconic_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
if(LACONIC_SANITIZE)
  target_compile_options(laconic_flags INTERFACE -fsanitize=${LACONIC_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # g++ 12 reports std::regex when it checks addresses
  target_link_options(laconic_flags INTERFACE -fsanitize=${LACONIC_SANITIZE})
endif()
if(LACONIC_BUILD_FUZZERS)
  target_compile_options(laconic_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# laconic_add_library(NAME SOURCES... [DEPENDS targets...]): one static library a component, e.g. laconic_text.
function(laconic_add_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC laconic_flags ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
endfunction()

# laconic_add_test(NAME SOURCES... DEPENDS... [LABELS...]): a GoogleTest program, one CTest entry.
# The program runs in the source tree's root; `../shared` may lie beside it.
function(laconic_add_test name)
  if(NOT LACONIC_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE laconic_flags ${arg_DEPENDS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
endfunction()

# laconic_add_per_isa_test(NAME ...): as above, once for every kernel level, forced through LACONIC_FORCE_ISA.
# A level that the CPU lacks makes the program exit with 77, which CTest reports as skipped; but AMX is
# emulated, and AVX-VNNI comes as AVX-512 where there is that.
function(laconic_add_per_isa_test name)
  if(NOT LACONIC_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/src/kernels/per_isa_main.cpp)
  target_link_libraries(${name} PRIVATE laconic_flags ${arg_DEPENDS} GTest::gmock GTest::gtest)
  if(TARGET laconic_avx_vnni_stand_in)
    target_link_libraries(${name} PRIVATE laconic_avx_vnni_stand_in laconic_avx_vnni_vex laconic_avx_vnni_evex)
  endif()
  if(TARGET laconic_amx_emulator)
    target_link_libraries(${name} PRIVATE laconic_amx_emulator)
  endif()
  foreach(isa IN LISTS LACONIC_ISA_LEVELS)
    add_test(NAME ${name}.${isa} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name}.${isa} PROPERTIES ENVIRONMENT "LACONIC_FORCE_ISA=${isa}" LABELS "unit;per_isa"
      SKIP_RETURN_CODE 77)
  endforeach()
endfunction()
set(LACONIC_ISA_LEVELS scalar avx2 avx_vnni avx512_vnni avx512_bf16 amx)

# laconic_add_fuzzer(NAME SOURCES... DEPENDS...): a libFuzzer target; built by the `fuzz` preset only.
function(laconic_add_fuzzer name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE laconic_flags ${arg_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
