//! From the PVH entry (Xen's x86/HVM direct boot protocol) to Rust: page tables, long mode, stack, and the functions a compiler calls.

use core::arch::global_asm;

/// Physical memory below this is mapped at its own address; more, up to [`HIGH_END`], if the processor has 1 GiB pages.
const LOW_END: u64 = 4 << 30;
const HIGH_END: u64 = 512 << 30;

// On entry: 32-bit protected mode without paging, flat segments, EBX = address of hvm_start_info.
global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4                         # size of the name
    .long 4                         # size of the value
    .long 18                        # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry

    .section .text.entry, "ax"
    .code32
    .globl pvh_entry
pvh_entry:
    cli
    cld
    mov esp, offset stack_end

    # A warm reset leaves old bytes in memory, so .bss is zeroed here whatever the loader did.
    mov edi, offset bss_start
    mov ecx, offset bss_end
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd

    # Identity map of the first 4 GiB: four directories of 2 MiB pages, present and writable.
    mov edi, offset page_directories
    mov eax, 0x83                   # present, writable, large
    mov ecx, 2048
2:  mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop 2b

    mov edi, offset page_directory_pointers
    mov eax, offset page_directories + 3
    mov ecx, 4
3:  mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 3b

    # The other 508 entries map 1 GiB each, if the processor can.
    push ebx
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb 5f
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 26
    jz 5f
    mov eax, 0x83                   # address bits 31..0; bits 63..32 are in edx
    mov edx, 1
    mov ecx, 508
4:  mov [edi], eax
    mov [edi + 4], edx
    add eax, 0x40000000
    adc edx, 0
    add edi, 8
    loop 4b
    mov byte ptr [has_high_map], 1
5:  pop ebx

    mov eax, offset page_directory_pointers + 3
    mov [page_map], eax
    mov eax, offset page_map
    mov cr3, eax

    mov eax, cr4
    or eax, 0x620                   # PAE, OSFXSR, OSXMMEXCPT: compiled code uses SSE
    mov cr4, eax
    mov ecx, 0xC0000080             # EFER
    rdmsr
    or eax, 0x100                   # LME
    wrmsr
    mov eax, cr0
    and eax, 0xFFFFFFFB             # no EM
    or eax, 0x80000003              # PG, MP, PE
    mov cr0, eax

    lgdt [gdt_pointer]
    # ljmp 8:long_entry, which the assembler does not take in this syntax
    .byte 0xEA
    .long long_entry
    .word 8

    .code64
long_entry:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov edi, ebx                    # start_info, first argument of firmware_main
    call firmware_main
    ud2

    .section .rodata.gdt, "a"
    .balign 8
gdt:
    .quad 0
    .quad 0x00209B0000000000        # 8: 64-bit code
    .quad 0x0000930000000000        # 16: data
gdt_pointer:
    .word 23
    .long gdt

    .section .bss.entry, "aw", @nobits
    .balign 4096
page_map:
    .skip 4096
page_directory_pointers:
    .skip 4096
page_directories:
    .skip 4 * 4096
    .globl has_high_map
has_high_map:
    .skip 1
    .balign 16
    .skip 128 * 1024
stack_end:
"#
);

// What the compiler assumes of the environment (core's documentation, "How to use the core library").
global_asm!(
    r#"
    .section .text.memory, "ax"
    .globl memcpy, memmove, memset, memcmp, bcmp
memmove:
    mov rax, rdi
    sub rax, rsi
    cmp rax, rdx
    jb 2f                           # the target begins inside the source: copy from the end
memcpy:
    mov rax, rdi
    mov rcx, rdx
    rep movsb
    ret
2:  mov rax, rdi
    mov rcx, rdx
    lea rdi, [rdi + rdx - 1]
    lea rsi, [rsi + rdx - 1]
    std
    rep movsb
    cld
    ret
memset:
    mov r8, rdi
    mov eax, esi
    mov rcx, rdx
    rep stosb
    mov rax, r8
    ret
memcmp:
bcmp:
    xor eax, eax
    test rdx, rdx
    jz 4f
3:  movzx eax, byte ptr [rdi]
    movzx ecx, byte ptr [rsi]
    sub eax, ecx
    jnz 4f
    inc rdi
    inc rsi
    dec rdx
    jnz 3b
4:  ret
"#
);

unsafe extern "C" {
    static has_high_map: u8;
}

/// End of the physical addresses that may be accessed.
pub(crate) fn mapped_end() -> u64 {
    // SAFETY: the entry code wrote the byte before any Rust ran, and nothing writes it afterwards.
    if unsafe { has_high_map } != 0 { HIGH_END } else { LOW_END }
}
