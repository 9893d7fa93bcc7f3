"""Builds SentencePiece `precompiled_charsmap` blobs: a double-array trie of UTF-8 keys and a pool of replacements.

Format (SentencePiece, darts-clone): u32 bytes of the trie, the trie's u32 units, then NUL-terminated replacements. A unit
holds its label in bits 0-7, "has a value" in bit 8, and in bits 10-31 the XOR distance from itself to its children.
"""

import struct

BLOCK = 256  # children of one node are addressed by XOR with a byte, so a block of 256 never collides


def build_charsmap(rules):
    """rules: dict from key (str, not empty, no NUL) to replacement (str, no NUL). Returns bytes."""
    pool, offsets = bytearray(), {}
    for replacement in sorted(set(rules.values())):
        offsets[replacement] = len(pool)
        pool += replacement.encode() + b"\0"

    trie = {}
    for key, replacement in rules.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = offsets[replacement]

    units = [0] * BLOCK
    free_leaves = []

    def allocate_block():
        units.extend([0] * BLOCK)
        return len(units) - BLOCK

    def place(node, position, label):
        if node.keys() == {0}:  # nothing but a value: any single free unit will do
            if not free_leaves:
                block = allocate_block()
                free_leaves.extend(range(block + BLOCK - 1, block, -1))
            base = free_leaves.pop()
        else:
            base = allocate_block()
        distance = position ^ base
        assert distance < 1 << 21, "too many keys for this simple builder"
        units[position] = distance << 10 | (0 in node) << 8 | label
        for byte, child in node.items():
            if byte == 0:
                units[base] = child | 1 << 31
            else:
                place(child, base ^ byte, byte)

    place(trie, 0, 0)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(pool)
