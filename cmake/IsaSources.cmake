# One translation unit per (kernel family, ISA). Only these files get -m flags.
set(LACONIC_ISA_FLAGS_AVX2        -mavx2 -mfma -mf16c)
set(LACONIC_ISA_FLAGS_AVX_VNNI    ${LACONIC_ISA_FLAGS_AVX2} -mavxvnni)
set(LACONIC_ISA_FLAGS_AVX512_VNNI -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma)
set(LACONIC_ISA_FLAGS_AVX512_BF16 ${LACONIC_ISA_FLAGS_AVX512_VNNI} -mavx512bf16)
set(LACONIC_ISA_FLAGS_AMX         ${LACONIC_ISA_FLAGS_AVX512_BF16} -mamx-tile -mamx-int8 -mamx-bf16)

function(laconic_add_isa_sources target isa)
  if(NOT DEFINED LACONIC_ISA_FLAGS_${isa})
    message(FATAL_ERROR "laconic_add_isa_sources: unknown ISA '${isa}'")
  endif()
  foreach(source IN LISTS ARGN)
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS ${LACONIC_ISA_FLAGS_${isa}} -fno-lto)
  endforeach()
  target_sources(${target} PRIVATE ${ARGN})
  target_compile_definitions(${target} PUBLIC LACONIC_HAVE_${isa}=1)
  set_property(TARGET ${target} APPEND PROPERTY LACONIC_ISA_SOURCES ${ARGN})
endfunction()

# Fails if an ISA object defines a weak (inline/template) symbol: the linker may keep that copy for the whole
# program and a plain CPU would then meet AVX instructions.
function(laconic_add_isa_symbol_check target)
  get_property(sources TARGET ${target} PROPERTY LACONIC_ISA_SOURCES)
  string(REPLACE ";" "," joined "${sources}")
  add_test(NAME ${target}.isa_symbols
    COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=$<JOIN:$<TARGET_OBJECTS:${target}>,,>" "-DSOURCES=${joined}"
            -P ${PROJECT_SOURCE_DIR}/cmake/CheckIsaSymbols.cmake)
  set_tests_properties(${target}.isa_symbols PROPERTIES LABELS "lint")
endfunction()
