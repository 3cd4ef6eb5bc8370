// Programs that unpack themselves, known by the names of their sections. Packing is no proof of harm, but it hides
// what a program does, so it is worth a look.

import "pe"

rule packer_upx_pe : packer {
  meta:
    description = "Windows program packed with UPX"
    severity = "suspicious"
    score = 30
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (section.name == "UPX0" or section.name == "UPX1")
}

rule packer_upx_elf : packer {
  meta:
    description = "ELF program packed with UPX"
    severity = "suspicious"
    score = 40
    attack = "T1027.002 Software Packing"
  strings:
    $magic = "UPX!"
    $notice = "$Info: This file is packed with the UPX executable packer"
  condition:
    uint32be(0) == 0x7f454c46 and ($notice or $magic in (0..512))
}

rule packer_aspack : packer {
  meta:
    description = "Windows program packed with ASPack"
    severity = "suspicious"
    score = 50
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (section.name == ".aspack" or section.name == ".adata")
}

rule packer_mpress : packer {
  meta:
    description = "Windows program packed with MPRESS"
    severity = "suspicious"
    score = 50
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (section.name == ".MPRESS1" or section.name == ".MPRESS2")
}

rule packer_petite : packer {
  meta:
    description = "Windows program packed with Petite"
    severity = "suspicious"
    score = 50
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (section.name == ".petite")
}

rule protector_themida : packer protector {
  meta:
    description = "Windows program protected with Themida or WinLicense"
    severity = "suspicious"
    score = 60
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (
      section.name == ".themida" or section.name == "Themida" or section.name == ".winlice" or section.name == "WinLicen"
    )
}

rule protector_vmprotect : packer protector {
  meta:
    description = "Windows program protected with VMProtect"
    severity = "suspicious"
    score = 60
    attack = "T1027.002 Software Packing"
  condition:
    pe.is_pe and for any section in pe.sections : (section.name == ".vmp0" or section.name == ".vmp1")
}
