//! A Zig program for the checks: arguments, standard input, formatting, a hash map, sorting, big and odd integers.
const std = @import("std");

fn lessThan(_: void, a: []const u8, b: []const u8) bool {
    return std.mem.lessThan(u8, a, b);
}

pub fn main(init: std.process.Init) !void {
    const arena = init.arena.allocator();
    var out_buffer: [1024]u8 = undefined;
    var out_file: std.Io.File.Writer = .init(.stdout(), init.io, &out_buffer);
    const out = &out_file.interface;
    for (try init.minimal.args.toSlice(arena), 0..) |arg, i| if (i > 0) try out.print("arg {d}: {s}\n", .{ i, arg });

    var in_buffer: [256]u8 = undefined;
    var in_file: std.Io.File.Reader = .init(.stdin(), init.io, &in_buffer);
    var words: std.StringArrayHashMapUnmanaged(u32) = .empty;
    const text = try in_file.interface.allocRemaining(arena, .unlimited);
    var tokens = std.mem.tokenizeAny(u8, text, " \n.,;");
    while (tokens.next()) |word| {
        const slot = try words.getOrPutValue(arena, word, 0);
        slot.value_ptr.* += 1;
    }
    const sorted = try arena.dupe([]const u8, words.keys());
    std.mem.sort([]const u8, sorted, {}, lessThan);
    for (sorted[0..@min(sorted.len, 12)]) |word| try out.print("{s:>10} {d}\n", .{ word, words.get(word).? });

    var product: u256 = 1;
    for (1..50) |i| product *= @as(u256, i);
    const odd: u37 = @truncate(@as(u128, @intCast(product % 1_000_000_007_000_000_009)));
    try out.print("{d} {x} {d:.6} {any}\n", .{ product, odd, std.math.pi, @as(i7, -64) });
    var hash = std.hash.Wyhash.init(7);
    hash.update(text);
    try out.print("{x} {x}\n", .{ hash.final(), std.hash.Crc32.hash(text) });
    try out.flush();
    std.process.exit(5);
}
